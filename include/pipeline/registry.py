"""The project's model packages: each candidate with its metrics, its approval, and whether it was released."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.classifier.image_classifier.metric_table import COMPARED
from include.pipeline import aws_texts
from include.pipeline.gate import Decision
from include.pipeline.names import model_package_group
from include.pipeline.results import Evaluation, RegisteredVersion, StagedData
from include.pipeline.settings import Project

KEY = "registration_key"
"""The property with the key that a package was registered by: the name of the SageMaker model created from it."""
RELEASED = "released"
"""The property that says when the model passed its smoke test."""


@dataclass(frozen=True)
class ModelVersion:
    """One version in the registry."""

    arn: str
    version: int
    approval: str
    model: str
    """The name of the SageMaker model created from it."""
    container: AwsAnswer
    """The serving container: ``Image``, ``ModelDataUrl`` and ``Environment``."""
    properties: dict[str, str]
    answers: str | None = None
    """The S3 URI of what its evaluation recorded for each test image."""

    @property
    def is_good(self) -> bool:
        """Whether the package is approved and its model has passed the smoke test."""
        return self.approval == "Approved" and RELEASED in self.properties


def properties(**values: object) -> dict[str, str]:
    """Return properties that SageMaker accepts: at most 256 characters, and only those that it allows."""
    return {key: aws_texts.property_value(value) for key, value in values.items() if value is not None}


def candidate(
    evaluation: Evaluation, *, data: StagedData, code: str, inputs: str, training_job: str, run: str
) -> dict[str, str]:
    """Return the properties that record a candidate's origin and metrics.

    :param code: the digest of the classifier's code.
    :param inputs: see :func:`include.pipeline.job_requests.inputs_digest`.
    :param run: the URL of the run in Airflow.
    """
    metrics, interval = evaluation.candidate.metrics, evaluation.candidate.accuracy_interval
    assert interval is not None  # the evaluation job always writes it
    return properties(
        **{key: f"{metrics[key]:.4f}" for key in COMPARED if key in metrics},
        accuracy_low=f"{interval[0]:.4f}",
        accuracy_high=f"{interval[1]:.4f}",
        fingerprint=data.fingerprint,
        data=data.uri,
        code=code,
        inputs=inputs,
        training_job=training_job,
        run=run,
    )


def rejected_before(run_type: str, package: RegisteredVersion) -> str | None:
    """Return why an automatic run must not release a candidate, or None if it may.

    Otherwise, a model that a person or a smoke test rejected would come back with every scheduled run that trains
    nothing new.

    :param run_type: Airflow's run type, such as ``scheduled`` or ``manual``.
    """
    if run_type == "manual" or package.approval_status != "Rejected":
        return None
    return (
        f"Version {package.version} was rejected before, and only a manual run asks for approval again. The model "
        "package has the reason."
    )


def packages(project: Project, sagemaker: Any) -> list[ModelVersion]:
    """Return all completed packages of the project, newest first; none if the group does not exist yet."""
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


def describe(arn: str, sagemaker: Any) -> ModelVersion:
    """Return one package."""
    return _package(sagemaker.describe_model_package(ModelPackageName=arn))


def find(model: str, packages: list[ModelVersion]) -> ModelVersion | None:
    """Return the package of a model; None for a model that is not in the registry."""
    return next((package for package in packages if package.model == model), None)


def known_good(packages: list[ModelVersion], live_model: str | None) -> list[ModelVersion]:
    """Return the packages that a rollback can go to: released, approved and not live, newest first."""
    return [package for package in packages if package.is_good and package.model != live_model]


def predecessor(packages: list[ModelVersion], live_model: str) -> ModelVersion | None:
    """Return the newest good package that is older than the live model's package."""
    live = find(live_model, packages)
    older = [good for good in known_good(packages, live_model) if live is None or good.version < live.version]
    return older[0] if older else None


def judge(package: RegisteredVersion, decision: Decision, ask: bool, sagemaker: Any) -> None:
    """Set a candidate's approval as the gate decided. If approval is required, an accepted candidate stays pending."""
    accepted = "PendingManualApproval" if ask else "Approved"
    set_approval(package.arn, accepted if decision.accepted else "Rejected", decision.reason, sagemaker)


def set_approval(arn: str, approval: str, reason: str, sagemaker: Any) -> None:
    """Set a package's approval: ``Approved``, ``Rejected`` or ``PendingManualApproval``, and why."""
    _update(arn, sagemaker, ModelApprovalStatus=approval, ApprovalDescription=aws_texts.description(reason))


def mark_released(
    arn: str, function_version: str | None, sagemaker: Any, image_digest: str | None = None
) -> None:
    """Record that the package's model has passed its smoke test with this version of the function.

    :param image_digest: the digest of the container image that the endpoint runs, because its tag can move.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    _update(
        arn,
        sagemaker,
        CustomerMetadataProperties=properties(
            released=now, function_version=function_version, image_digest=image_digest
        ),
    )


def prune(project: Project, live_model: str | None, sagemaker: Any) -> list[int]:
    """Delete all but the newest packages. Keep the packages of the live model and of its predecessor.

    :return: the deleted versions.
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


def _package(described: AwsAnswer) -> ModelVersion:
    container = described["InferenceSpecification"]["Containers"][0]
    found = described.get("CustomerMetadataProperties", {})
    # Beside evaluation.json, which the package names as its quality.
    quality = described.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics")
    return ModelVersion(
        arn=described["ModelPackageArn"],
        version=described["ModelPackageVersion"],
        approval=described["ModelApprovalStatus"],
        model=found.get(KEY, ""),
        container={
            key: container[key] for key in ("Image", "ModelDataUrl", "Environment") if key in container
        },
        properties=found,
        answers=f"{quality['S3Uri'].rpartition('/')[0]}/answers.json" if quality else None,
    )


def _update(arn: str, sagemaker: Any, **changes: Any) -> None:
    """Update a package, and repeat what has to stay, because SageMaker replaces the properties as a whole."""
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
