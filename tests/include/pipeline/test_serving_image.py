"""The serving image is found by its content, or built; what goes wrong says so."""

from __future__ import annotations

import io
import itertools
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import packages, serving_image, waiting
from include.pipeline.infrastructure import Infrastructure, InfrastructureError
from include.pipeline.waiting import StepState
from tests.include.pipeline.processes import done

SERVING = Path(__file__).parents[3] / "include" / "serving"
REPOSITORY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image-classifier-serving"
DIGEST = f"sha256:{'0a' * 32}"
STACK = Infrastructure(
    bucket="bucket",
    sagemaker_role="r",
    function_role="r",
    serving_repository=REPOSITORY,
    serving_build="build",
)


class Account:
    """An account whose repository has no image, until a build of these states has succeeded."""

    def __init__(self, *builds: dict[str, Any], pushes: bool = True) -> None:
        self.builds = list(builds)
        self.pushes = pushes
        self.built = False
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.slept: list[float] = []

    def client(self, service: str) -> Any:
        def call(name: str) -> Any:
            def run(**members: Any) -> Any:
                self.calls.append((name, members))
                return getattr(self, name)(**members)

            return run

        names = ("describe_images", "start_build", "batch_get_builds", "put_object")
        return SimpleNamespace(**{name: call(name) for name in names})

    def describe_images(self, **_: Any) -> Any:
        if not self.built:
            raise ClientError({"Error": {"Code": "ImageNotFoundException"}}, "DescribeImages")
        return {"imageDetails": [{"imageDigest": DIGEST}]}

    def put_object(self, **_: Any) -> Any:
        return {}

    def start_build(self, **_: Any) -> Any:
        return {"build": {"id": "build:1"}}

    def batch_get_builds(self, **_: Any) -> Any:
        found = self.builds.pop(0) if len(self.builds) > 1 else self.builds[0]
        self.built = self.pushes and found["buildStatus"] == "SUCCEEDED"
        return {"builds": [found]}

    def ensure(self) -> dict[str, Any]:
        return done(serving_image.ensure, STACK, self.client, sleep=self.slept.append)


def state(status: str, **more: Any) -> dict[str, Any]:
    return {"buildStatus": status, **more}


def test_what_is_built_has_its_digest_and_its_content() -> None:
    account = Account(state("IN_PROGRESS"), state("SUCCEEDED"))

    found = account.ensure()

    content = packages.serving_package().sha256
    assert (found.uri, found.content, found.build) == (f"{REPOSITORY}@{DIGEST}", content, "build:1")
    calls = dict(account.calls)
    assert calls["put_object"]["Key"] == "_serving-image/source.zip"
    assert calls["start_build"] == {"projectName": "build"}
    assert calls["describe_images"] == {
        "registryId": "123456789012",
        "repositoryName": "image-classifier-serving",
        "imageIds": [{"imageTag": f"content-{content}"}],
    }
    assert len(account.slept) == 1


def test_what_is_there_is_not_built() -> None:
    account = Account()
    account.built = True

    assert account.ensure().build is None
    assert [name for name, _ in account.calls] == ["describe_images"]


def test_a_build_that_fails_says_why_and_where_its_log_is() -> None:
    phases = [{"phaseType": "BUILD", "contexts": [{"message": "exit status 1"}]}]
    account = Account(state("FAILED", phases=phases, logs={"deepLink": "https://log"}))

    with pytest.raises(
        serving_image.ImageBuildError,
        match=r"The build build:1 of the serving image ended with FAILED: BUILD: exit status 1 Its log: https://log",
    ):
        account.ensure()


def test_a_build_that_pushes_another_content_is_not_taken() -> None:
    with pytest.raises(serving_image.ImageBuildError, match="has pushed no image of the content"):
        Account(state("SUCCEEDED"), pushes=False).ensure()


def test_a_build_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(state("IN_PROGRESS"))
    minutes = itertools.count()
    monkeypatch.setattr(waiting.time, "time", lambda: 60.0 * next(minutes))

    with pytest.raises(serving_image.ImageBuildError, match="has not ended after 30 minutes"):
        account.ensure()
    assert len(account.slept) > 10


def test_other_errors_of_ecr_are_not_taken_for_a_missing_image(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account()

    def denied(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "RepositoryNotFoundException"}}, "DescribeImages")

    monkeypatch.setattr(account, "describe_images", denied)
    with pytest.raises(ClientError, match="RepositoryNotFoundException"):
        account.ensure()


def test_a_stack_without_the_part_is_refused() -> None:
    lacking = STACK.model_copy(update={"serving_build": None})
    with pytest.raises(InfrastructureError, match="ServingImage=true"):
        serving_image.ensure(lacking, Account().client, StepState())


def test_the_package_has_all_that_the_dockerfile_copies_and_names_its_content() -> None:
    package = packages.serving_package()
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}

    copied = {
        name
        for line in files["Dockerfile"].decode().splitlines()
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
        if not name.startswith("--")
    }
    assert files.keys() == copied | {"Dockerfile", "content"}
    assert files["content"].decode() == package.sha256
    assert {path.name for path in SERVING.glob("*.py")} <= copied


def test_another_content_is_another_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = packages.serving_package().sha256
    for name in packages.SERVING_FILES:
        (tmp_path / "serving").mkdir(exist_ok=True)
        (tmp_path / "serving" / name).write_bytes((SERVING / name).read_bytes())
    monkeypatch.setattr(packages, "INCLUDE", tmp_path)
    assert packages.serving_package().sha256 == before
    with (tmp_path / "serving" / "Dockerfile").open("a") as file:
        file.write("#")
    assert packages.serving_package().sha256 != before
