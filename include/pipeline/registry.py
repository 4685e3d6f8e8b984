"""The project's model packages: each candidate with its figures, its approval, and whether it has served."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import aws_texts
from include.pipeline.gate import Decision
from include.pipeline.names import model_package_group
from include.pipeline.settings import Project

KEY = "registration_key"
"""The property that holds what a package was registered by: the name of the model made of it."""
RELEASED = "released"
"""The property that says when the model passed its smoke test."""


@dataclass(frozen=True)
class Package:
    """One version in the registry."""

    arn: str
    version: int
    approval: str
    model: str
    """The name of the SageMaker model made of it."""
    container: dict[str, Any]
    """The container that serves it: ``Image``, ``ModelDataUrl`` and ``Environment``."""
    properties: dict[str, str]

    @property
    def is_good(self) -> bool:
        """Whether it was approved and has passed its smoke test."""
        return self.approval == "Approved" and RELEASED in self.properties


def properties(**values: object) -> dict[str, str]:
    """Properties of a package as SageMaker takes them: at most 256 of the characters that it allows."""
    return {key: aws_texts.property_value(value) for key, value in values.items() if value is not None}


def candidate(
    evaluation: dict[str, Any], *, data: dict[str, Any], code: str, inputs: str, training_job: str, run: str
) -> dict[str, str]:
    """What a package says of where its model comes from and how good it is.

    :param evaluation: the content of ``evaluation.json``.
    :param data: what ``stage_data`` returned: ``fingerprint`` and ``uri``.
    :param code: the digest of the classifier's code.
    :param inputs: see :func:`include.pipeline.job_requests.inputs_digest`.
    :param run: the address of the run in Airflow.
    """
    figures = evaluation["candidate"]
    low, high = figures["accuracy_interval"]
    return properties(
        accuracy=f"{figures['accuracy']:.4f}",
        accuracy_low=f"{low:.4f}",
        accuracy_high=f"{high:.4f}",
        macro_f1=f"{figures['macro_f1']:.4f}",
        fingerprint=data["fingerprint"],
        data=data["uri"],
        code=code,
        inputs=inputs,
        training_job=training_job,
        run=run,
    )


def rejected_before(run_type: str, package: dict[str, Any]) -> str | None:
    """Why a run that nobody asked for must not release a candidate, or None where it may.

    A model that a person or a smoke test turned down would else come back with every scheduled run that trains
    nothing new.

    :param run_type: Airflow's kind of run, such as ``scheduled`` or ``manual``.
    :param package: what the task that registered the candidate returned.
    """
    if run_type == "manual" or package["approval_status"] != "Rejected":
        return None
    return (
        f"Version {package['version']} was rejected before, and only a run that a person starts asks again: "
        "the model package says why."
    )


def packages(project: Project, sagemaker: Any) -> list[Package]:
    """All packages of the project that are complete, the newest first; none where there is no group yet."""
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=model_package_group(project), SortBy="CreationTime", SortOrder="Descending"
    )
    try:
        arns = [summary["ModelPackageArn"] for page in pages for summary in page["ModelPackageSummaryList"]]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return []
    described = (sagemaker.describe_model_package(ModelPackageName=arn) for arn in arns)
    found = [_package(each) for each in described if each["ModelPackageStatus"] == "Completed"]
    return sorted(found, key=lambda package: package.version, reverse=True)


def describe(arn: str, sagemaker: Any) -> Package:
    """One package."""
    return _package(sagemaker.describe_model_package(ModelPackageName=arn))


def find(model: str, packages: list[Package]) -> Package | None:
    """The package of a model; None for one that was released before there was a registry."""
    return next((package for package in packages if package.model == model), None)


def known_good(packages: list[Package], live_model: str | None) -> list[Package]:
    """The packages that a rollback can go to: released, approved, and not live. The newest first."""
    return [package for package in packages if package.is_good and package.model != live_model]


def predecessor(packages: list[Package], live_model: str) -> Package | None:
    """The newest good package that is older than the live one's."""
    live = find(live_model, packages)
    older = [good for good in known_good(packages, live_model) if live is None or good.version < live.version]
    return older[0] if older else None


def judge(package: dict[str, Any], decision: Decision, ask: bool, sagemaker: Any) -> None:
    """Set a candidate's approval as the gate decided; where a person is asked, an accepted one stays pending.

    :param package: what the task that registered the candidate returned.
    """
    accepted = "PendingManualApproval" if ask else "Approved"
    decide(package["arn"], accepted if decision.accepted else "Rejected", decision.reason, sagemaker)


def decide(arn: str, approval: str, reason: str, sagemaker: Any) -> None:
    """Set a package's approval: ``Approved``, ``Rejected`` or ``PendingManualApproval``, and why."""
    _update(arn, sagemaker, ModelApprovalStatus=approval, ApprovalDescription=aws_texts.description(reason))


def mark_released(arn: str, function_version: str, sagemaker: Any) -> None:
    """Note that the package's model passed its smoke test just now, behind this version of the function."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _update(
        arn,
        sagemaker,
        CustomerMetadataProperties=properties(released=now, function_version=function_version),
    )


def prune(project: Project, live_model: str | None, sagemaker: Any) -> list[int]:
    """Delete all but the newest packages, never the live model's nor its predecessor's.

    :return: the versions that were deleted.
    """
    found = packages(project, sagemaker)
    before = predecessor(found, live_model) if live_model else None
    kept = {live_model, before.model if before else None}
    old = [package for package in found[project.registry.keep :] if package.model not in kept]
    for package in old:
        try:
            sagemaker.delete_model_package(ModelPackageName=package.arn)
        except ClientError as error:
            if "does not exist" not in str(error):  # another run has pruned it
                raise
    return [package.version for package in old]


def _package(described: dict[str, Any]) -> Package:
    container = described["InferenceSpecification"]["Containers"][0]
    found = described.get("CustomerMetadataProperties", {})
    return Package(
        arn=described["ModelPackageArn"],
        version=described["ModelPackageVersion"],
        approval=described["ModelApprovalStatus"],
        model=found.get(KEY, ""),
        container={
            key: container[key] for key in ("Image", "ModelDataUrl", "Environment") if key in container
        },
        properties=found,
    )


def _update(arn: str, sagemaker: Any, **changes: Any) -> None:
    """Change a package, and say again what shall stay: the properties are given as a whole."""
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    request = {
        "ModelApprovalStatus": found["ModelApprovalStatus"],
        "ApprovalDescription": found.get("ApprovalDescription"),
        "CustomerMetadataProperties": found.get("CustomerMetadataProperties", {}),
    }
    properties_after = request["CustomerMetadataProperties"] | changes.pop("CustomerMetadataProperties", {})
    request |= {"CustomerMetadataProperties": properties_after, **changes}
    sagemaker.update_model_package(
        ModelPackageArn=arn, **{key: value for key, value in request.items() if value is not None}
    )
