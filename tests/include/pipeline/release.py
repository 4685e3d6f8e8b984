"""One project on local AWS, and what its runs do there."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Callable
from typing import Any

from include.pipeline import (
    alarms,
    inventory,
    job_requests,
    known_good,
    live,
    names,
    notify,
    packages,
    registry,
    rollback,
    scaling,
    teardown,
)
from include.pipeline.images import Images
from include.pipeline.job_requests import Environment
from include.pipeline.settings import Project
from tests.environments import WITHOUT_TORCH

CODE = (
    b"def model_fn(model_dir): return None\n"
    b"def transform_fn(model, body, content_type, accept): return '{}', 'application/json'\n"
)


class Release:
    """One project on local AWS, and what a run of its DAG would do there."""

    def __init__(self, project: Project, aws: Any, eventually: Callable[..., Any]) -> None:
        self.project = project
        self.aws = aws
        self.eventually = eventually
        self.s3 = aws.client("s3")
        self.sagemaker = aws.client("sagemaker")
        self.functions = aws.client("lambda")
        self.scaling = aws.client("application-autoscaling")
        self.cloudwatch = aws.client("cloudwatch")
        self.s3.create_bucket(Bucket="releases")
        self.sagemaker.create_model_package_group(
            ModelPackageGroupName=names.model_package_group(project), Tags=names.tag_list(project)
        )
        role = self._role(aws)
        self.env = Environment(
            bucket="releases",
            sagemaker_role=role,
            function_role=role,
            region="us-east-1",
            account="123456789012",
            images=Images(tuning="i", training="i", processing="i", inference="i"),
        )

    def _role(self, aws: Any) -> str:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        name = f"role-{uuid.uuid4().hex[:8]}"
        arn: str = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"][
            "Arn"
        ]
        return arn

    def deploy(self, inputs: str, tags: list[dict[str, str]] | None = None) -> dict[str, Any] | None:
        """Release a model made from these inputs; returns what is live then.

        :param tags: those of a new endpoint, if it is not made as the pipeline does.
        """
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            member = tarfile.TarInfo("code/inference.py")
            member.size = len(CODE)
            archive.addfile(member, io.BytesIO(CODE))
        key = f"{self.project.name}/{inputs}/model.tar.gz"
        self.s3.put_object(Bucket="releases", Key=key, Body=file.getvalue())
        model = job_requests.model(self.project, self.env, f"s3://releases/{key}", inputs)
        model["PrimaryContainer"]["Environment"] |= WITHOUT_TORCH
        config = job_requests.endpoint_config(self.project, "releases", model["ModelName"])
        self.sagemaker.create_model(**model)
        self.sagemaker.create_endpoint_config(**config)
        endpoint = job_requests.endpoint(self.project, config["EndpointConfigName"])
        before = None
        if live.endpoint_status(self.project, self.sagemaker):
            before = scaling.suspend(self.project, config["EndpointConfigName"], self.sagemaker, self.scaling)
            self.sagemaker.update_endpoint(
                EndpointName=endpoint["EndpointName"], EndpointConfigName=config["EndpointConfigName"]
            )
        else:
            self.sagemaker.create_endpoint(**endpoint if tags is None else {**endpoint, "Tags": tags})
        self.eventually(lambda: live.endpoint_status(self.project, self.sagemaker) == "InService")
        alarms.put_alarms(self.project, self.cloudwatch)
        self._scale()
        scaling.resume(self.project, before, self.scaling)
        self._deploy_function(inputs)
        return self.live()

    def _scale(self, most: int = 2, target: float = 20.0) -> None:
        resource = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": names.scaling_resource_id(self.project),
            "ScalableDimension": names.SCALABLE_DIMENSION,
        }
        self.scaling.register_scalable_target(**resource, MinCapacity=1, MaxCapacity=most)
        metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
        self.scaling.put_scaling_policy(
            **resource,
            PolicyName="invocations",
            PolicyType="TargetTrackingScaling",
            TargetTrackingScalingPolicyConfiguration={
                "TargetValue": target,
                "PredefinedMetricSpecification": metric,
            },
        )

    def is_suspended(self) -> bool:
        found = self.scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker", ResourceIds=[names.scaling_resource_id(self.project)]
        )["ScalableTargets"]
        return bool(found[0].get("SuspendedState", {}).get("DynamicScalingInSuspended"))

    def suspend_scaling(self) -> None:
        self.scaling.register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=names.scaling_resource_id(self.project),
            ScalableDimension=names.SCALABLE_DIMENSION,
            SuspendedState=dict.fromkeys(scaling.SUSPENSIONS, True),
        )

    def _deploy_function(self, inputs: str) -> None:
        name = names.function_name(self.project)
        code = packages.function_package().content
        variables = {"ENDPOINT_NAME": names.endpoint_name(self.project), "INPUTS": inputs}
        try:
            self.functions.create_function(
                FunctionName=name,
                Runtime="python3.12",
                Role=self.env.function_role,
                Handler="handler.handler",
                Code={"ZipFile": code},
                Environment={"Variables": variables},
                Tags=names.tags(self.project),
            )
            self.functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        except self.functions.exceptions.ResourceConflictException:
            self.functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": variables}
            )
            self.functions.get_waiter("function_updated_v2").wait(FunctionName=name)
        version = self.functions.publish_version(FunctionName=name)["Version"]
        alias = {"FunctionName": name, "Name": names.ALIAS, "FunctionVersion": version}
        try:
            self.functions.update_alias(**alias)
        except self.functions.exceptions.ResourceNotFoundException:
            self.functions.create_alias(**alias)

    def live(self) -> dict[str, Any] | None:
        return live.read_live(self.project, self.sagemaker, self.functions)

    def how_it_scales(self) -> dict[str, Any] | None:
        return scaling.read(self.project, self.scaling)

    def good_now(self) -> dict[str, Any] | None:
        """Return the last good release, with the time since which it is."""
        return known_good.read(self.project, self.sagemaker, self.functions)

    def good(self) -> dict[str, Any] | None:
        """Return the last good release in the form of what is live."""
        good = self.good_now()
        return good and {key: value for key, value in good.items() if key != "since"}

    def note_good(self) -> dict[str, Any] | None:
        """Note that what serves is good, as a run does after its smoke test."""
        serving = self.live()
        assert serving is not None
        known_good.note(self.project, serving, self.sagemaker)
        return serving

    def superseded(self, good_at_start: dict[str, Any] | None, model: str) -> str | None:
        return known_good.superseded(self.project, good_at_start, model, self.sagemaker, self.functions)

    def take_back(self) -> str | None:
        """Do what a run does at its start."""
        return rollback.take_back_unproved(
            self.project, "run 2", self.sagemaker, self.functions, self.scaling
        )

    @property
    def endpoint(self) -> str:
        return names.endpoint_name(self.project)

    def state(self) -> str:
        """What the message of a failed run says of the endpoint."""
        return notify.endpoint_state(self.project, self.sagemaker, self.functions)

    def register(self, serving: dict[str, Any] | None) -> str:
        """Register the approved package of what serves, and return its ARN."""
        assert serving is not None
        container = {"Image": "i", "ModelDataUrl": serving["artifact"], "Environment": {}}
        arn: str = self.sagemaker.create_model_package(
            ModelPackageGroupName=names.model_package_group(self.project),
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="Approved",
            CustomerMetadataProperties={registry.KEY: serving["model"]},
        )["ModelPackageArn"]
        return arn

    def roll_back(self, before: dict[str, Any] | None, scaling: dict[str, Any] | None = None) -> str:
        return rollback.roll_back(self.project, before, scaling, self.sagemaker, self.functions, self.scaling)

    def tear_down(self) -> None:
        self.roll_back(None)
        for name in inventory.models_or_configs(self.project, "endpoint-config", self.aws.client):
            self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        for name in inventory.models_or_configs(self.project, "model", self.aws.client):
            self.sagemaker.delete_model(ModelName=name)
        teardown.delete_alarms(self.project, self.aws.client)
        teardown.delete_registry(self.project, self.sagemaker)
