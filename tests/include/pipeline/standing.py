"""All resources that a project may have in AWS, created with few requests on local AWS."""

from __future__ import annotations

import base64
import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

from include.pipeline import alarms, ec2_launch, names
from include.pipeline.settings import Project
from tests import endpoints
from tests.archives import ANSWERS_ALL, archive
from tests.environments import WITHOUT_TORCH

BUCKET = "standing"
HANDLER = "def handler(event, context):\n    return {}\n"


class Standing:
    """The resources of a project."""

    def __init__(
        self, project: Project, client: Callable[[str], Any], eventually: Callable[..., Any]
    ) -> None:
        self.project = project
        self.client = client
        self.eventually = eventually
        client("s3").create_bucket(Bucket=BUCKET)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
        role = client("iam").create_role(
            RoleName=f"role-{uuid.uuid4().hex[:8]}",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        self.role: str = role["Role"]["Arn"]

    def build(self) -> Standing:
        """Create one of each."""
        self.make_endpoint()
        self.make_function()
        self.make_registry()
        self.make_logs()
        alarms.put_alarms(self.project, self.client("cloudwatch"))
        alarms.put_release_alarms(self.project, self.client("cloudwatch"), "new", "old")
        self.client("s3").put_object(Bucket=BUCKET, Key=f"{self.project.name}/data/1", Body=b"x")
        return self

    def make_model(self) -> str:
        """Create a model with a name like the pipeline's."""
        key = f"{self.project.name}/model.tar.gz"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=archive(ANSWERS_ALL))
        container = {"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/{key}", "Environment": WITHOUT_TORCH}
        name = names.job_name(self.project, "model", container, uuid.uuid4().hex)
        self.client("sagemaker").create_model(
            ModelName=name, ExecutionRoleArn=self.role, PrimaryContainer=container, Tags=self.tags
        )
        return name

    def make_config(self) -> str:
        """Create an endpoint configuration, with its model."""
        variant = endpoints.variant(self.make_model(), names.VARIANT)
        name = names.job_name(self.project, "config", variant)
        self.client("sagemaker").create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[variant], Tags=self.tags
        )
        return name

    def make_endpoint(self) -> None:
        """Create an endpoint in service, with scaling."""
        self.client("sagemaker").create_endpoint(
            EndpointName=names.endpoint_name(self.project),
            EndpointConfigName=self.make_config(),
            Tags=self.tags,
        )
        self.eventually(lambda: self.endpoint["EndpointStatus"] == "InService")
        self.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=names.scaling_resource_id(self.project),
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            MinCapacity=1,
            MaxCapacity=2,
        )

    def make_function(self) -> None:
        """Create a Lambda function."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("handler.py", HANDLER)
        self.client("lambda").create_function(
            FunctionName=names.function_name(self.project),
            Runtime="python3.12",
            Role=self.role,
            Handler="handler.handler",
            Code={"ZipFile": content.getvalue()},
            Tags=names.tags(self.project),
        )

    def make_registry(self) -> None:
        """Create a model package group with two packages."""
        sagemaker, group = self.client("sagemaker"), names.model_package_group(self.project)
        sagemaker.create_model_package_group(ModelPackageGroupName=group, Tags=self.tags)
        for _ in range(2):
            sagemaker.create_model_package(ModelPackageGroupName=group)

    def make_logs(self) -> None:
        """Create the function's log group, and a stream of a job among those of other projects."""
        logs = self.client("logs")
        groups = (f"/aws/lambda/{names.function_name(self.project)}", "/aws/sagemaker/TrainingJobs")
        for group in groups:
            if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
                logs.create_log_group(logGroupName=group)
        for stream in self.streams:
            logs.create_log_stream(logGroupName=groups[1], logStreamName=stream)

    def make_job(self, command: str = "sleep 600") -> str:
        """Create a processing job that runs a shell command."""
        name = names.job_name(self.project, "features", {"command": command})
        self.client("sagemaker").create_processing_job(
            ProcessingJobName=name,
            RoleArn=self.role,
            AppSpecification={"ImageUri": "i", "ContainerEntrypoint": ["/bin/sh", "-c", command]},
            ProcessingResources={
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
            },
            Tags=self.tags,
        )
        return name

    def make_workspace(self, script: str = "exit 1") -> str:
        """Create a notebook instance with its lifecycle configuration. It fails, which is faster than to start."""
        name, sagemaker = names.workspace_name(self.project), self.client("sagemaker")
        sagemaker.create_notebook_instance_lifecycle_config(
            NotebookInstanceLifecycleConfigName=name,
            OnStart=[{"Content": base64.b64encode(script.encode()).decode()}],
            Tags=self.tags,
        )
        sagemaker.create_notebook_instance(
            NotebookInstanceName=name,
            InstanceType="ml.m5.xlarge",
            RoleArn=self.role,
            LifecycleConfigName=name,
            Tags=self.tags,
        )
        self.eventually(
            lambda: (
                sagemaker.describe_notebook_instance(NotebookInstanceName=name)["NotebookInstanceStatus"]
                != "Pending"
            )
        )
        return name

    def make_instance(self) -> str:
        """Create an EC2 instance in a security group of the project."""
        ec2 = self.client("ec2")
        vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
        (instance,) = ec2.run_instances(
            ImageId=ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
            InstanceType="g4dn.xlarge",
            MinCount=1,
            MaxCount=1,
            SecurityGroupIds=[ec2_launch.security_group(self.project, ec2, vpc)],
            TagSpecifications=[{"ResourceType": "instance", "Tags": self.tags}],
        )["Instances"]
        name: str = instance["InstanceId"]
        return name

    def make_warm_pool(self) -> str:
        """Create a completed training job with a warm pool."""
        key = f"{self.project.name}/sourcedir.tar.gz"
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=archive({"train.py": ""}))
        sagemaker, name = self.client("sagemaker"), names.job_name(self.project, "train", {})
        sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=self.role,
            AlgorithmSpecification={"TrainingImage": "pytorch", "TrainingInputMode": "File"},
            OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/{self.project.name}"},
            ResourceConfig={
                "InstanceType": "ml.m5.large",
                "InstanceCount": 1,
                "VolumeSizeInGB": 1,
                "KeepAlivePeriodInSeconds": 600,
            },
            StoppingCondition={"MaxRuntimeInSeconds": 300},
            HyperParameters={
                "sagemaker_program": json.dumps("train.py"),
                "sagemaker_submit_directory": json.dumps(f"s3://{BUCKET}/{key}"),
            },
            Environment=WITHOUT_TORCH,
            Tags=self.tags,
        )
        self.eventually(lambda: self.pool_status(name) == "Available")
        return name

    def pool_status(self, name: str) -> str | None:
        """Return the status of a training job's warm pool, or None."""
        job = self.client("sagemaker").describe_training_job(TrainingJobName=name)
        status: str | None = job.get("WarmPoolStatus", {}).get("Status")
        return status

    @property
    def streams(self) -> tuple[str, str]:
        """Return a log stream of the project, and one of another project whose name has the same prefix."""
        own = self.project.aws_name
        return f"{own}-train-0123456789ab/algo-1", f"{own}-train-train-0123456789ab/algo-1"

    @property
    def tags(self) -> list[dict[str, str]]:
        return names.tag_list(self.project)

    @property
    def endpoint(self) -> dict[str, Any]:
        """Return the description of the endpoint."""
        answer: dict[str, Any] = self.client("sagemaker").describe_endpoint(
            EndpointName=names.endpoint_name(self.project)
        )
        return answer
