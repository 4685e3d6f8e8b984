"""``make verify-aws`` changes only its own resources, tags and removes them, and reports the differences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.verify_aws.guard import PREFIX, READS, TAG
from include.verify_aws.sweep import search, sweep
from tests.conftest import LocalAws

ACCOUNT = "123456789012"

pytestmark = pytest.mark.timeout(1200)
WAITING = "LA5"
"""A row that waits until a function is active."""
WITHOUT_TAGS = (
    "CreateAlias",
    "CreateFunctionUrlConfig",
    "CreateModelPackage",
    "CreateMultipartUpload",
    "CreatePresignedNotebookInstanceUrl",
)
"""Operations that accept no tags, or that create nothing lasting."""
PAID = {
    "CreateEndpoint",
    "CreateHyperParameterTuningJob",
    "CreateNotebookInstance",
    "CreateProcessingJob",
    "CreateTrainingJob",
    "RunInstances",
}
"""Operations that create what costs more than a cent."""
Verify = Callable[..., tuple[int, str]]


def calls(account: LocalAws, since: int = 0) -> list[dict[str, Any]]:
    """Return the calls of the command that the server has recorded, starting with a line."""
    lines = (account.state_dir / "calls.jsonl").read_text().splitlines()[since:]
    return [call for call in map(json.loads, lines) if call["principal"] == "verifier"]


def lines(account: LocalAws) -> int:
    file = account.state_dir / "calls.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def changes(account: LocalAws, since: int) -> list[dict[str, Any]]:
    return [call for call in calls(account, since) if not call["operation"].startswith(READS)]


def pairs(tags: Any) -> dict[str, str]:
    return tags if isinstance(tags, dict) else {each["Key"]: each["Value"] for each in tags}


def test_dry_run_creates_nothing_and_lists_resources_and_cost(
    verify: Verify, account: LocalAws, page: Path
) -> None:
    begun = lines(account)
    status, said = verify()
    assert status == 0, said
    assert [call["operation"] for call in calls(account, begun)] == ["GetCallerIdentity"]
    assert f"Account {ACCOUNT}, region us-east-1" in said
    assert "SNS topics, less than a cent" in said
    assert "At most less than a cent in total" in said
    assert "COSTS=1 also runs" in said
    assert f"make verify-aws CONFIRM={ACCOUNT}" in said
    assert "Never run: test_lambda.py::test_more_than_the_account_has" in said
    assert not page.exists()


def test_dry_run_with_costs_shows_the_total(verify: Verify) -> None:
    status, said = verify("--costs")
    assert status == 0, said
    assert "endpoints on ml.m5.large, $2.00" in said
    assert "At most $2.32 in total" in said


@pytest.mark.parametrize(
    ("arguments", "without", "sentence"),
    [
        (
            ("--confirm", "210987654321"),
            (),
            "CONFIRM is 210987654321, but the credentials belong to account",
        ),
        ((), ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "There are no AWS credentials."),
        ((), ("AWS_REGION", "AWS_DEFAULT_REGION"), "No AWS region is set."),
    ],
    ids=["another account", "no credentials", "no region"],
)
def test_invalid_setup_is_reported_in_one_sentence(
    verify: Verify, account: LocalAws, arguments: tuple[str, ...], without: tuple[str, ...], sentence: str
) -> None:
    begun = lines(account)
    status, said = verify(*arguments, without=without)
    assert status == 2, said
    assert said.startswith(sentence)
    assert len(said.splitlines()) == 1
    assert changes(account, begun) == []


@dataclass(frozen=True)
class Run:
    """What a run of the command did."""

    status: int
    said: str
    text: str
    made: list[dict[str, Any]]


@pytest.fixture(scope="module")
def free(
    account: LocalAws, begin: Callable[..., subprocess.Popen[str]], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """All rows that cost less than a cent, in a local AWS in the role of an account without differences."""
    begun, page = lines(account), tmp_path_factory.mktemp("free") / "page.md"
    process = begin("--confirm", ACCOUNT, page=page)
    said, _ = process.communicate(timeout=900)
    return Run(process.returncode, said, page.read_text(), changes(account, begun))


def test_free_rows_agree_and_each_resource_has_prefix_and_tag_and_is_removed(
    free: Run, account: LocalAws
) -> None:
    """The guard rejects no call."""
    assert free.status == 0, free.text
    created = [call for call in free.made if call["operation"].startswith(("Create", "PutMetricAlarm"))]
    kinds = {call["operation"] for call in created}
    assert kinds >= {"CreateTopic", "PutMetricAlarm", "CreateLogGroup", "CreateBucket", "CreateSecurityGroup"}
    assert kinds >= {"CreateStack", "CreateModelPackageGroup", "CreateFunction", "CreateRole"}
    for call in created:
        given = call["parameters"]
        assert f"{PREFIX}-" in json.dumps(given), call
        if call["operation"] in WITHOUT_TAGS:
            continue
        if call["operation"] == "CreateBucket":
            tagged = [other for other in free.made if other["operation"] == "PutBucketTagging"]
            assert given["Bucket"] in {other["parameters"]["Bucket"] for other in tagged}
            continue
        tags = given.get("Tags") or given.get("tags") or given["TagSpecifications"][0]["Tags"]
        assert pairs(tags)[TAG[0]] == TAG[1], call
    assert search(account.client) == ([], [])
    assert " 0 differ" in free.said
    assert "Nothing is left." in free.said


def test_rows_with_costs_are_skipped_and_reported(free: Run) -> None:
    assert "test_a_training_job_whose_name_is_taken | it may cost more than a cent" in free.text
    assert "it would take all of the account's concurrency" in free.text
    assert PAID.isdisjoint(call["operation"] for call in free.made)


def test_jobs_endpoints_and_notebooks_are_tagged_and_removed(verify: Verify, account: LocalAws) -> None:
    begun = lines(account)
    status, said = verify("--confirm", ACCOUNT, "--costs", "--rows", "SM5,SM48,EC8")
    assert status == 0, said
    made = [call for call in changes(account, begun) if call["operation"].startswith(("Create", "Run"))]
    kinds = {call["operation"] for call in made}
    assert kinds >= PAID | {"CreateModel", "CreateEndpointConfig"}
    for call in made:
        assert call["operation"] == "CreateBucket" or TAG[1] in json.dumps(call["parameters"]), call
    assert search(account.client) == ([], [])


def test_next_run_removes_only_resources_of_a_killed_run_and_all_of_its_own_after_ctrl_c(
    begin: Callable[..., subprocess.Popen[str]], slow_account: LocalAws, page: Path, eventually: Any
) -> None:
    sns, functions = slow_account.client("sns"), slow_account.client("lambda")
    foreign = sns.create_topic(Name="somebody-elses", Tags=[{"Key": TAG[0], "Value": TAG[1]}])["TopicArn"]
    untagged = sns.create_topic(Name=f"{PREFIX}-untagged")["TopicArn"]

    def waiting() -> set[str]:
        return {function["FunctionName"] for function in functions.list_functions()["Functions"]}

    process = begin("--confirm", ACCOUNT, "--rows", WAITING, page=page, url=slow_account.url)
    old = eventually(waiting)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    left = [each for each in search(slow_account.client)[0] if each.tagged]
    assert left

    process = begin("--confirm", ACCOUNT, "--rows", WAITING, page=page, url=slow_account.url)
    eventually(lambda: waiting() - old)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    for each in left:
        assert f"Removing {each}" in said
    topics = {topic["TopicArn"] for topic in sns.list_topics()["Topics"]}
    assert topics == {foreign, untagged}
    for topic in topics:
        sns.delete_topic(TopicArn=topic)
    assert search(slow_account.client) == ([], [])
    text = page.read_text()
    assert "The run did not finish." in text
    assert "the run ended early" in text


def test_rows_that_differ_are_on_the_page_without_the_account_id(
    verify: Verify, plain_moto: str, page: Path
) -> None:
    """Plain moto in the role of an account with differences."""
    status, said = verify("--confirm", ACCOUNT, "--rows", "SN1,CW1,ST1", url=plain_moto)
    assert status == 1, said
    text = page.read_text()
    differences = text.partition("## Not run")[0]
    assert "| SN1 | test_sns.py::test_an_unknown_topic_is_not_found | " in differences
    assert "Publish: NotFound: Endpoint does not exist (HTTP 404)" in differences
    assert "| CW1 | test_cloudwatch.py::test_more_than_1440_points_are_refused | " in differences
    assert "DID NOT RAISE" in differences
    assert "| ST1 |" not in differences
    assert "2 differ" in said
    assert "could not be searched" in text.partition("## Left in the account")[2]


def test_failed_searches_and_removals_are_reported(account: LocalAws) -> None:
    s3 = account.client("s3")
    bucket = f"{PREFIX}-held"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": TAG[0], "Value": TAG[1]}]})

    def client(service: str) -> Any:
        found = account.client(service)
        if service == "s3":
            found.delete_bucket = lambda Bucket: found.get_object(Bucket=Bucket, Key="none")
        return found

    swept = sweep(client, 1)
    assert [text.partition(":")[0] for text in swept.left] == [f"bucket {bucket}"]
    assert "NoSuchKey" in swept.left[0]
    assert sweep(account.client, 10).removed == [f"bucket {bucket}"]


def test_failed_search_does_not_affect_other_kinds(account: LocalAws) -> None:
    sagemaker = account.client("sagemaker")
    group = f"{PREFIX}-kept-group"
    sagemaker.create_model_package_group(ModelPackageGroupName=group, Tags=[{"Key": TAG[0], "Value": TAG[1]}])

    def client(service: str) -> Any:
        found = account.client(service)
        if service == "sagemaker":
            found.list_endpoints = lambda **_: found.describe_endpoint(EndpointName=group)
        return found

    swept = sweep(client, 1)
    assert swept.removed == [f"model package group {group}"]
    assert [text.partition(":")[0] for text in swept.left] == ["sagemaker could not be searched"]
