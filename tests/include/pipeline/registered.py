"""A project's model packages, registered, approved and released on local AWS."""

from __future__ import annotations

from typing import Any

from include.pipeline import registry
from include.pipeline.names import job_name, model_package_group, tag_list
from include.pipeline.registry import ModelVersion
from include.pipeline.results import Evaluation, StagedData
from include.pipeline.settings import Project
from tests.archives import put_archive

EVALUATION = Evaluation.model_validate(
    {
        "images": 75,
        "candidate": {"accuracy": 0.9, "accuracy_interval": [0.85, 0.94], "macro_f1": 0.89},
        "live": None,
    }
)
DATA = StagedData(uri="s3://bucket/birds/data/f", fingerprint="f", classes=["owl"], counts={"test": 75})


class Registry:
    """The model packages that the pipeline registers for a project."""

    def __init__(self, project: Project, aws: Any) -> None:
        self.project = project
        self.sagemaker = aws.client("sagemaker")
        self._archive = put_archive(aws.client("s3"), "s3://registered-models/model.tar.gz")
        self.sagemaker.create_model_package_group(
            ModelPackageGroupName=model_package_group(project), Tags=tag_list(project)
        )

    def register(self, number: int) -> ModelVersion:
        """Register a candidate, as before its gate."""
        model = job_name(self.project, "model", {"number": number})
        found = registry.candidate(
            EVALUATION,
            data=DATA,
            code="c",
            inputs=f"inputs-{number}",
            training_job=f"job-{number}",
            run="http://127.0.0.1:8080/dags/birds/runs/1",
        )
        container = {"Image": "i", "ModelDataUrl": self._archive, "Environment": {"MODEL_VERSION": model}}
        arn = self.sagemaker.create_model_package(
            ModelPackageGroupName=model_package_group(self.project),
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="PendingManualApproval",
            ModelMetrics={
                "ModelQuality": {
                    "Statistics": {
                        "ContentType": "application/json",
                        "S3Uri": f"s3://bucket/birds/evaluate/{number}/evaluation.json",
                    }
                }
            },
            CustomerMetadataProperties={**found, registry.KEY: model},
        )["ModelPackageArn"]
        return registry.describe(arn, self.sagemaker)

    def release(self, number: int) -> ModelVersion:
        """Register a candidate, approve it, and record that it has passed its smoke test."""
        arn = self.register(number).arn
        registry.set_approval(arn, "Approved", "Good enough.", self.sagemaker)
        registry.mark_released(arn, str(number), self.sagemaker)
        return registry.describe(arn, self.sagemaker)

    def packages(self) -> list[ModelVersion]:
        return registry.packages(self.project, self.sagemaker)

    def versions(self) -> list[int]:
        return [package.version for package in self.packages()]

    def remove(self) -> None:
        for package in self.packages():
            self.sagemaker.delete_model_package(ModelPackageName=package.arn)
        self.sagemaker.delete_model_package_group(ModelPackageGroupName=model_package_group(self.project))
