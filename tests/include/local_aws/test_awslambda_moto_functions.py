"""Functions and aliases in moto: reading them, their updates and their versions."""

import io
import math
import zipfile
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.local_aws.awslambda import moto_aliases, moto_functions
from include.local_aws.errors import AwsError
from include.local_aws.moto_patches import functions

REGION = "eu-west-1"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, restored_moto: None) -> Iterator[Any]:
    """Return a client of moto in this process, with the methods of functions replaced for one test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    functions.apply(update_seconds=0)
    with mock_aws():
        session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
        session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")
        yield session.client("lambda")


def package(code: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), code)
    return content.getvalue()


def create(client: Any, code: str = "x = 1", **settings: Any) -> None:
    client.create_function(
        FunctionName="function",
        Role="arn:aws:iam::123456789012:role/role",
        Handler="app.handler",
        Code={"ZipFile": package(code)},
        **{"Runtime": "python3.12", **settings},
    )


def update(client: Any, code: str) -> None:
    client.update_function_code(FunctionName="function", ZipFile=package(code))


def publish(client: Any) -> str:
    return client.publish_version(FunctionName="function")["Version"]


class TestFindFunction:
    def test_it_reads_all_that_an_environment_needs(self, client: Any) -> None:
        create(client, Timeout=7, MemorySize=256, Environment={"Variables": {"B": "2", "A": "1"}})
        found = moto_functions.find_function(REGION, "function")
        assert found == moto_functions.Function(
            region=REGION,
            name="function",
            version="$LATEST",
            handler="app.handler",
            runtime="python3.12",
            timeout_seconds=7,
            memory_mb=256,
            variables=(("A", "1"), ("B", "2")),
            code_sha256=client.get_function_configuration(FunctionName="function")["CodeSha256"],
            code=b"",
        )
        assert found.code == package("x = 1")

    def test_number_and_alias_and_latest_are_versions(self, client: Any) -> None:
        create(client)
        number = publish(client)
        client.create_alias(FunctionName="function", Name="live", FunctionVersion=number)
        versions = [
            moto_functions.find_function(REGION, "function", qualifier).version
            for qualifier in (number, "live", "$LATEST", None)
        ]
        assert versions == [number, number, "$LATEST", "$LATEST"]

    @pytest.mark.parametrize(("name", "qualifier"), [("nobody", None), ("function", "9"), ("function", "no")])
    def test_what_does_not_exist_is_not_found(self, client: Any, name: str, qualifier: str | None) -> None:
        create(client)
        with pytest.raises(AwsError) as caught:
            moto_functions.find_function(REGION, name, qualifier)
        assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)

    def test_only_python_runs(self, client: Any) -> None:
        create(client, Runtime="nodejs22.x")
        with pytest.raises(AwsError, match="Python runtime"):
            moto_functions.find_function(REGION, "function")


class TestDrawQualifier:
    def test_without_weights_it_is_the_qualifier(self, client: Any) -> None:
        create(client)
        client.create_alias(FunctionName="function", Name="live", FunctionVersion=publish(client))
        drawn = [moto_aliases.draw_qualifier(REGION, "function", each) for each in (None, "1", "live")]
        assert drawn == [None, "1", "live"]

    @pytest.mark.parametrize(("draw", "version"), [(0.29, "2"), (0.3, "live")])
    def test_weights_decide(
        self, client: Any, monkeypatch: pytest.MonkeyPatch, draw: float, version: str
    ) -> None:
        create(client)
        publish(client)
        update(client, "x = 2")
        publish(client)
        client.create_alias(
            FunctionName="function",
            Name="live",
            FunctionVersion="1",
            RoutingConfig={"AdditionalVersionWeights": {"2": 0.3}},
        )
        monkeypatch.setattr(moto_aliases.random, "random", lambda: draw)
        assert moto_aliases.draw_qualifier(REGION, "function", "live") == version


@pytest.mark.parametrize(
    ("version", "names"), [("1", ["live"]), ("2", ["canary", "live"]), ("3", []), ("$LATEST", [])]
)
def test_the_aliases_of_a_version_include_those_with_a_weight(
    client: Any, version: str, names: list[str]
) -> None:
    create(client)
    publish(client)
    update(client, "x = 2")
    publish(client)
    weights = {"AdditionalVersionWeights": {"2": 0.3}}
    client.create_alias(FunctionName="function", Name="live", FunctionVersion="1", RoutingConfig=weights)
    client.create_alias(FunctionName="function", Name="canary", FunctionVersion="2")
    assert moto_aliases.aliases_of_version(REGION, "function", version) == names


@pytest.mark.parametrize("reserved", [None, 0, 7])
def test_reserved_concurrency_is_read_none_and_nothing_apart(client: Any, reserved: int | None) -> None:
    create(client)
    if reserved is not None:
        client.put_function_concurrency(FunctionName="function", ReservedConcurrentExecutions=reserved)
    assert moto_functions.reserved_concurrency(REGION, "function") == reserved


def test_nothing_is_reserved_for_a_function_that_does_not_exist(client: Any) -> None:
    assert moto_functions.reserved_concurrency(REGION, "nobody") is None


def test_an_answer_says_what_has_begun_however_soon_it_is_over(client: Any) -> None:
    function = {"FunctionName": "function"}
    answer = client.create_function(
        **function,
        Role="arn:aws:iam::123456789012:role/role",
        Handler="app.handler",
        Runtime="python3.12",
        Code={"ZipFile": package("x = 1")},
    )
    assert answer["State"] == "Pending"
    assert client.get_function_configuration(**function)["State"] == "Active"
    for answer in (
        client.update_function_code(**function, ZipFile=package("x = 2")),
        client.update_function_configuration(**function, Timeout=9),
    ):
        assert answer["LastUpdateStatus"] == "InProgress"
    assert client.get_function_configuration(**function)["LastUpdateStatus"] == "Successful"


class TestUpdatesInProgress:
    @pytest.fixture(autouse=True)
    def slow(self, client: Any) -> None:
        """Updates that are in progress for longer than a test lasts, until it ends."""
        functions.apply(update_seconds=math.inf)

    def test_a_new_function_is_being_created_and_not_updated(self, client: Any) -> None:
        create(client)
        found = client.get_function_configuration(FunctionName="function")
        assert (found["State"], found["StateReasonCode"]) == ("Pending", "Creating")
        assert "LastUpdateStatus" not in found
        assert moto_functions.is_pending(REGION, "function")
        assert not moto_functions.is_pending(REGION, "nobody")
        assert not moto_functions.is_being_updated(REGION, "function")
        assert not moto_functions.is_being_updated(REGION, "nobody")

    @pytest.fixture
    def created(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A function whose creation has ended."""
        create(client)
        function = moto_functions.check_exists(REGION, "function")
        monkeypatch.setitem(function.__dict__, "pending_until", 0.0)

    @pytest.mark.usefixtures("created")
    def test_an_update_of_code_is_in_progress(self, client: Any) -> None:
        answer = client.update_function_code(FunctionName="function", ZipFile=package("x = 2"))
        assert answer["LastUpdateStatus"] == "InProgress"
        assert moto_functions.is_being_updated(REGION, "function")

    @pytest.mark.usefixtures("created")
    def test_an_update_of_the_configuration_is_in_progress(self, client: Any) -> None:
        answer = client.update_function_configuration(FunctionName="function", Timeout=9)
        assert (answer["LastUpdateStatus"], answer["Timeout"]) == ("InProgress", 9)
        assert moto_functions.is_being_updated(REGION, "function")

    def test_a_published_version_is_never_in_progress(self, client: Any) -> None:
        create(client)
        client.update_function_configuration(FunctionName="function", Timeout=9)
        number = publish(client)
        version = client.get_function_configuration(FunctionName="function", Qualifier=number)
        assert version["LastUpdateStatus"] == "Successful"


class TestPublishedVersions:
    def test_nothing_new_is_published_where_nothing_changed(self, client: Any) -> None:
        create(client)
        update(client, "x = 2")
        assert [publish(client), publish(client)] == ["1", "1"]

    def test_the_same_code_again_is_published_again(self, client: Any) -> None:
        create(client)
        publish(client)
        update(client, "x = 1")
        assert [publish(client), publish(client)] == ["2", "2"]

    def test_new_code_or_configuration_is_published(self, client: Any) -> None:
        create(client)
        publish(client)
        update(client, "x = 2")
        assert publish(client) == "2"
        client.update_function_configuration(FunctionName="function", Timeout=9)
        assert publish(client) == "3"

    def test_a_deleted_versions_number_is_not_given_again(self, client: Any) -> None:
        create(client)
        for number in (2, 3):
            publish(client)
            update(client, f"x = {number}")
        client.delete_function(FunctionName="function", Qualifier="1")
        assert publish(client) == "3"

    def test_an_update_can_publish(self, client: Any) -> None:
        create(client, Publish=True)
        answer = client.update_function_code(FunctionName="function", ZipFile=package("x = 2"), Publish=True)
        assert answer["Version"] == "2"
        listed = client.list_versions_by_function(FunctionName="function")["Versions"]
        assert [item["Version"] for item in listed] == ["$LATEST", "1", "2"]
