"""SageMaker's jobs and endpoint that many rows ask about, made once, and small."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from include.verify_aws.guard import PREFIX
from tests import endpoints
from tests.archives import archive
from tests.contract.setting import INFERENCE, Setting

VARIANT = "AllTraffic"
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}


class SageMakerThings:
    """A training job, a processing job and a tuning job that have ended, and an endpoint in service."""

    def __init__(
        self, client: Callable[[str], Any], eventually: Callable[..., Any], setting: Setting
    ) -> None:
        self.name = f"{PREFIX}-{uuid.uuid4().hex[:8]}"
        self.client = client
        self.sagemaker = client("sagemaker")
        self.eventually = eventually
        self.setting = setting
        self.bucket = setting.bucket

    @property
    def resource_id(self) -> str:
        """How Application Auto Scaling names the endpoint's variant."""
        return f"endpoint/{self.name}/variant/{VARIANT}"

    def make(self) -> None:
        """Begin all of it at once, and wait for the end."""
        self.sagemaker.create_training_job(**self.training_job(self.name))
        self.sagemaker.create_processing_job(**self.processing_job(self.name))
        self.sagemaker.create_hyper_parameter_tuning_job(**self.tuning_job(self.name))
        self.make_config(self.name)
        self.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=self.name)
        for status in (
            lambda: self.training()["TrainingJobStatus"],
            lambda: self.processing()["ProcessingJobStatus"],
            lambda: self.tuning()["HyperParameterTuningJobStatus"],
            lambda: self.endpoint()["EndpointStatus"],
        ):
            self.eventually(lambda status=status: status() not in ("InProgress", "Creating"))

    def remove(self) -> None:
        """Delete what AWS bills while it exists."""
        self.eventually(lambda: self.endpoint()["EndpointStatus"] in ("InService", "Failed"))
        self.sagemaker.delete_endpoint(EndpointName=self.name)

    def training(self) -> dict[str, Any]:
        return self.sagemaker.describe_training_job(TrainingJobName=self.name)

    def processing(self) -> dict[str, Any]:
        return self.sagemaker.describe_processing_job(ProcessingJobName=self.name)

    def tuning(self) -> dict[str, Any]:
        return self.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=self.name)

    def endpoint(self) -> dict[str, Any]:
        return self.sagemaker.describe_endpoint(EndpointName=self.name)

    def training_job(self, name: str) -> dict[str, Any]:
        """The request for a job whose script does nothing."""
        return {
            "TrainingJobName": name,
            "RoleArn": self.setting.role,
            "AlgorithmSpecification": {
                "TrainingImage": self.setting.training_image,
                "TrainingInputMode": "File",
            },
            "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/output"},
            "ResourceConfig": RESOURCES,
            "StoppingCondition": {"MaxRuntimeInSeconds": 300},
            "HyperParameters": self._script(),
            "Environment": self.setting.environment,
        }

    def processing_job(self, name: str) -> dict[str, Any]:
        """The request for a job that fails."""
        return {
            "ProcessingJobName": name,
            "RoleArn": self.setting.role,
            "AppSpecification": {
                "ImageUri": self.setting.training_image,
                "ContainerEntrypoint": ["/bin/sh", "-c", "exit 3"],
            },
            "ProcessingResources": {"ClusterConfig": RESOURCES},
        }

    def tuning_job(self, name: str) -> dict[str, Any]:
        """The request for a search whose only job gives no objective, so that it fails."""
        definition = self.training_job(name)
        definition["StaticHyperParameters"] = definition.pop("HyperParameters")
        definition["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": "loss", "Regex": "loss=([0-9.]+)"}
        ]
        del definition["TrainingJobName"]
        return {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": {
                "Strategy": "Random",
                "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
                "ParameterRanges": {
                    "CategoricalParameterRanges": [{"Name": "batch_size", "Values": ["1", "2"]}]
                },
            },
            "TrainingJobDefinition": definition,
        }

    def make_config(self, name: str, instance_type: str = "ml.m5.large", model: str | None = None) -> str:
        """Make an endpoint configuration with a model of its own, or of this name; returns its name."""
        if model is None:
            self.sagemaker.create_model(**self.model(name))
        variant = endpoints.variant(model or name, VARIANT, instance_type=instance_type)
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        return name

    def make_model_from(self, name: str, code: str) -> None:
        """Make a model of this code, which refuses every request."""
        key, model = f"{name}.tar.gz", self.model(name)
        body = archive({"code/inference.py": code + INFERENCE})
        self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        model["PrimaryContainer"]["ModelDataUrl"] = f"s3://{self.bucket}/{key}"
        self.sagemaker.create_model(**model)

    def model(self, name: str) -> dict[str, Any]:
        """The request for a model that refuses every request."""
        return {
            "ModelName": name,
            "ExecutionRoleArn": self.setting.role,
            "PrimaryContainer": {
                "Image": self.setting.inference_image,
                "ModelDataUrl": self.setting.model_data,
                "Environment": self.setting.environment,
            },
        }

    def make_model_without_data(self, name: str) -> None:
        """Make a model and delete its archive, so that endpoints of it fail."""
        s3, key = self.client("s3"), f"{name}.tar.gz"
        s3.copy_object(Bucket=self.bucket, Key=key, CopySource=f"{self.bucket}/model.tar.gz")
        model = self.model(name)
        model["PrimaryContainer"]["ModelDataUrl"] = f"s3://{self.bucket}/{key}"
        self.sagemaker.create_model(**model)
        s3.delete_object(Bucket=self.bucket, Key=key)

    def without_objects(self, job: dict[str, Any]) -> str:
        """Give a job's request a channel that has no objects; returns its S3 URI."""
        uri = f"s3://{self.bucket}/no-objects/"
        source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
        job["InputDataConfig"] = [{"ChannelName": "images", "DataSource": {"S3DataSource": source}}]
        return uri

    def _script(self) -> dict[str, str]:
        return {
            "sagemaker_program": json.dumps("train.py"),
            "sagemaker_submit_directory": json.dumps(f"s3://{self.bucket}/source.tar.gz"),
        }
