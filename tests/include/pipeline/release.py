"""A project on local AWS, and the changes that its runs make there."""

from __future__ import annotations

import json
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
    resource_kinds,
    rollback,
    scaling,
    teardown,
)
from include.pipeline.images import Images
from include.pipeline.job_requests import Environment
from include.pipeline.results import GoodRelease, LiveRelease, Scaling
from include.pipeline.settings import Project
from tests.archives import archive
from tests.environments import WITHOUT_TORCH
from tests.include.pipeline.processes import done

CODE = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def answer(request):
    return JSONResponse({})

def asgi():
    return Starlette(routes=[Route("/", answer, methods=["POST"])])
"""


class Release:
    """A project on local AWS, and the changes that a run of its DAG would make there."""

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

    def deploy(
        self, inputs: str, tags: list[dict[str, str]] | None = None, first: str = ""
    ) -> LiveRelease | None:
        """Release a model made from these inputs, and return the live release.

        :param tags: the tags of a new endpoint, if they differ from those of the pipeline.
        :param first: code that the model runs before its own.
        """
        code = first + CODE
        key = f"{self.project.name}/{inputs}/model.tar.gz"
        self.s3.put_object(Bucket="releases", Key=key, Body=archive({"code/serve_app.py": code}))
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
        self.scale()
        scaling.resume(self.project, before, self.scaling)
        self.deploy_function(inputs)
        return self.live()

    def scale(self, most: int = 2, target: float = 20.0) -> None:
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

    def deploy_function(self, inputs: str) -> None:
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

    def live(self) -> LiveRelease | None:
        return live.read_live(self.project, self.sagemaker, self.functions)

    def how_it_scales(self) -> Scaling | None:
        return scaling.read(self.project, self.scaling)

    def good_now(self) -> GoodRelease | None:
        """Return the last good release, with the time since when it is good."""
        return known_good.read(self.project, self.sagemaker, self.functions)

    def good(self) -> LiveRelease | None:
        """Return the last good release in the form of the live one."""
        good = self.good_now()
        return good and LiveRelease(**good.model_dump(exclude={"since"}))

    def note_good(self) -> LiveRelease | None:
        """Record that the live release is good, as a run does after its smoke test."""
        serving = self.live()
        assert serving is not None
        known_good.note(self.project, serving, self.sagemaker)
        return serving

    def superseded(self, good_at_start: GoodRelease | None, model: str) -> str | None:
        return known_good.superseded(self.project, good_at_start, model, self.sagemaker, self.functions)

    def take_back(self) -> str | None:
        """Roll back an untested release, as a run does at its start."""
        clients = self.sagemaker, self.functions, self.scaling
        return done(rollback.take_back_unproved, self.project, "run 2", *clients)

    @property
    def endpoint(self) -> str:
        return names.endpoint_name(self.project)

    def state(self) -> str:
        """Return the sentence about the endpoint in the message of a failed run."""
        return notify.endpoint_state(self.project, self.sagemaker, self.functions)

    def register(self, serving: LiveRelease | None) -> str:
        """Register an approved package for the live model, and return its ARN."""
        assert serving is not None
        container = {"Image": "i", "ModelDataUrl": serving.artifact, "Environment": {}}
        arn: str = self.sagemaker.create_model_package(
            ModelPackageGroupName=names.model_package_group(self.project),
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="Approved",
            CustomerMetadataProperties={registry.KEY: serving.model},
        )["ModelPackageArn"]
        return arn

    def roll_back(self, before: LiveRelease | None, scaling: Scaling | None = None) -> str:
        clients = self.sagemaker, self.functions, self.scaling
        return done(rollback.roll_back, self.project, before, scaling, *clients)

    def tear_down(self) -> None:
        self.roll_back(None)
        for name in inventory.models_or_configs(
            self.project, resource_kinds.ENDPOINT_CONFIG, self.aws.client
        ):
            self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        for name in inventory.models_or_configs(self.project, resource_kinds.MODEL, self.aws.client):
            self.sagemaker.delete_model(ModelName=name)
        teardown.delete_alarms(self.project, self.aws.client)
        teardown.delete_registry(self.project, self.sagemaker)
