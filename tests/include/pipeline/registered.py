"""A project's model packages, registered, approved and released on local AWS."""

from __future__ import annotations

from typing import Any

from include.pipeline import registry
from include.pipeline.names import job_name, model_package_group, tag_list
from include.pipeline.registry import Package
from include.pipeline.settings import Project

EVALUATION = {
    "candidate": {"accuracy": 0.9, "accuracy_interval": [0.85, 0.94], "macro_f1": 0.89},
    "live": None,
}


class Registry:
    """What the pipeline registers of a project."""

    def __init__(self, project: Project, aws: Any) -> None:
        self.project = project
        self.sagemaker = aws.client("sagemaker")
        self.sagemaker.create_model_package_group(
            ModelPackageGroupName=model_package_group(project), Tags=tag_list(project)
        )

    def register(self, number: int) -> Package:
        """A candidate, as the pipeline leaves it before its gate."""
        model = job_name(self.project, "model", {"number": number})
        found = registry.candidate(
            EVALUATION,
            data={"fingerprint": "f", "uri": "s3://bucket/birds/data/f"},
            code="c",
            inputs=f"inputs-{number}",
            training_job=f"job-{number}",
            run="http://127.0.0.1:8080/dags/birds/runs/1",
        )
        container = {"Image": "i", "ModelDataUrl": "s3://b/m", "Environment": {"MODEL_VERSION": model}}
        arn = self.sagemaker.create_model_package(
            ModelPackageGroupName=model_package_group(self.project),
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="PendingManualApproval",
            CustomerMetadataProperties={**found, registry.KEY: model},
        )["ModelPackageArn"]
        return registry.describe(arn, self.sagemaker)

    def release(self, number: int) -> Package:
        """A candidate that was approved and has passed its smoke test."""
        arn = self.register(number).arn
        registry.decide(arn, "Approved", "Good enough.", self.sagemaker)
        registry.mark_released(arn, str(number), self.sagemaker)
        return registry.describe(arn, self.sagemaker)

    def packages(self) -> list[Package]:
        return registry.packages(self.project, self.sagemaker)

    def versions(self) -> list[int]:
        return [package.version for package in self.packages()]

    def remove(self) -> None:
        for package in self.packages():
            self.sagemaker.delete_model_package(ModelPackageName=package.arn)
        self.sagemaker.delete_model_package_group(ModelPackageGroupName=model_package_group(self.project))
