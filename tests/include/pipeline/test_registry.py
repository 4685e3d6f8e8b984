"""The model registry on local AWS: approvals, releases, and which packages are kept."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from include.pipeline import registry
from include.pipeline.gate import Decision
from include.pipeline.results import RegisteredVersion
from include.pipeline.settings import Project
from include.pipeline.settings import Registry as Settings
from tests.include.pipeline.registered import DATA, EVALUATION, Registry


@pytest.fixture
def packages(local_aws: Any) -> Iterator[Registry]:
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", registry=Settings(keep=2))
    made = Registry(project, local_aws)
    yield made
    made.remove()


def registered(**members: str) -> RegisteredVersion:
    return RegisteredVersion.model_validate(
        {"arn": "a", "version": 3, "approval_status": "Approved"} | members
    )


def described(packages: Registry, arn: str) -> dict[str, Any]:
    found: dict[str, Any] = packages.sagemaker.describe_model_package(ModelPackageName=arn)
    return found


def test_before_the_first_candidate_there_is_no_package(local_aws: Any) -> None:
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x")
    assert registry.packages(project, local_aws.client("sagemaker")) == []


def test_packages_are_listed_newest_first_with_their_key(packages: Registry) -> None:
    made = [packages.register(number) for number in (1, 2)]
    found = packages.packages()
    assert [package.version for package in found] == [2, 1]
    assert [package.answers for package in found] == [
        f"s3://bucket/birds/evaluate/{number}/answers.json" for number in (2, 1)
    ]
    assert registry.find(made[0].model, found) == made[0]
    assert registry.find("another", found) is None
    assert made[0].container["Environment"] == {"MODEL_VERSION": made[0].model}
    assert made[0].properties.items() >= {"accuracy": "0.9000", "accuracy_low": "0.8500", "code": "c"}.items()


@pytest.mark.parametrize(
    ("accepted", "ask", "approval"),
    [
        pytest.param(True, False, "Approved", id="accepted"),
        pytest.param(True, True, "PendingManualApproval", id="approval required"),
        pytest.param(False, True, "Rejected", id="rejected"),
    ],
)
def test_the_decision_of_the_gate_is_stored_with_its_reason(
    packages: Registry, accepted: bool, ask: bool, approval: str
) -> None:
    package = packages.register(1)
    registry.judge(registered(arn=package.arn), Decision(accepted, "Because."), ask, packages.sagemaker)
    found = described(packages, package.arn)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == (approval, "Because.")
    assert registry.describe(package.arn, packages.sagemaker).properties == package.properties


def test_a_decision_that_is_too_long_for_sagemaker_is_truncated(packages: Registry) -> None:
    package = packages.register(1)
    registry.set_approval(package.arn, "Rejected", "x" * 2000, packages.sagemaker)
    assert described(packages, package.arn)["ApprovalDescription"] == "x" * 1023 + "…"


def test_a_decision_has_no_line_breaks(packages: Registry) -> None:
    package = packages.register(1)
    registry.set_approval(package.arn, "Rejected", "It lacks a\nb.", packages.sagemaker)
    assert described(packages, package.arn)["ApprovalDescription"] == "It lacks a b."


def test_a_release_is_recorded_and_its_approval_stays(packages: Registry) -> None:
    package = packages.register(1)
    registry.set_approval(package.arn, "Approved", "By anna.", packages.sagemaker)
    registry.mark_released(package.arn, "7", packages.sagemaker)
    found = registry.describe(package.arn, packages.sagemaker)
    assert found.is_good
    assert found.properties["function_version"] == "7"
    assert found.properties.items() >= package.properties.items()
    assert described(packages, package.arn)["ApprovalDescription"] == "By anna."


def test_a_released_package_keeps_the_digest_of_its_image(packages: Registry) -> None:
    package = packages.register(1)
    registry.mark_released(package.arn, "1", packages.sagemaker, f"sha256:{'0a' * 32}")
    found = registry.describe(package.arn, packages.sagemaker)
    assert found.properties["image_digest"] == f"sha256:{'0a' * 32}"


def test_only_released_and_never_rejected_packages_are_good(packages: Registry) -> None:
    first, second, third = (packages.release(number) for number in (1, 2, 3))
    packages.register(4)
    registry.set_approval(second.arn, "Rejected", "Its smoke test failed.", packages.sagemaker)
    found = packages.packages()
    assert registry.known_good(found, third.model) == [first]
    assert registry.predecessor(found, third.model) == first
    assert registry.predecessor(found, first.model) is None


def test_pruning_keeps_the_live_package_and_its_predecessor(packages: Registry) -> None:
    packages.release(1)
    predecessor, live = packages.release(2), packages.release(3)
    for number in (4, 5, 6):
        packages.register(number)
    assert registry.prune(packages.project, live.model, packages.sagemaker) == [4, 1]
    assert packages.versions() == [6, 5, live.version, predecessor.version]
    assert registry.prune(packages.project, live.model, packages.sagemaker) == []


@pytest.mark.parametrize(
    ("run_type", "approval", "refused"),
    [
        ("scheduled", "Rejected", True),
        ("asset_triggered", "Rejected", True),
        ("scheduled", "Approved", False),
        ("manual", "Rejected", False),
    ],
)
def test_a_rejected_version_comes_back_only_with_a_manual_run(
    run_type: str, approval: str, refused: bool
) -> None:
    reason = registry.rejected_before(run_type, registered(approval_status=approval))
    assert (reason is not None) == refused
    assert not refused or "Version 3 was rejected before" in str(reason)


def test_properties_have_only_characters_that_sagemaker_allows() -> None:
    # AWS's pattern, CustomerMetadataValue. Python has no \p, so the letters are those of the alphabet.
    allowed = re.compile(r"[A-Za-z0-9 _.:/=+\-@]{1,256}")
    made = registry.candidate(
        EVALUATION,
        data=DATA,
        code="c",
        inputs="i",
        training_job="job",
        run="http://h:8080/dags/birds.train/runs/manual__2026-11-24T20:00:00+00:00~?x=(1)" + "y" * 300,
    )
    assert all(allowed.fullmatch(value) for value in made.values()), made
    assert made["run"].startswith("http://h:8080/dags/birds.train/runs/manual__2026-11-24T20:00:00+00:00-")
