"""What is live, and rolling back, against local AWS."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.pipeline import (
    alarms,
    inventory,
    job_requests,
    live,
    names,
    packages,
    releases,
    rollback,
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

    def deploy(self, inputs: str) -> dict[str, Any] | None:
        """Release a model made from these inputs; returns what is live then."""
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
        if live.endpoint_status(self.project, self.sagemaker):
            self.sagemaker.update_endpoint(
                EndpointName=endpoint["EndpointName"], EndpointConfigName=config["EndpointConfigName"]
            )
        else:
            self.sagemaker.create_endpoint(**endpoint)
        self.eventually(lambda: live.endpoint_status(self.project, self.sagemaker) == "InService")
        alarms.put_alarms(self.project, self.cloudwatch)
        self._scale()
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
            SuspendedState={"DynamicScalingInSuspended": True, "DynamicScalingOutSuspended": True},
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
        return live.read_scaling(self.project, self.scaling)

    def roll_back(self, before: dict[str, Any] | None, scaling: dict[str, Any] | None = None) -> str:
        return rollback.roll_back(self.project, before, scaling, self.sagemaker, self.functions, self.scaling)

    def tear_down(self) -> None:
        self.roll_back(None)
        for name in inventory.models_or_configs(self.project, "endpoint-config", self.aws.client):
            self.sagemaker.delete_endpoint_config(EndpointConfigName=name)
        for name in inventory.models_or_configs(self.project, "model", self.aws.client):
            self.sagemaker.delete_model(ModelName=name)
        teardown.delete_alarms(self.project, self.aws.client)


@pytest.fixture
def release(local_aws: Any, eventually: Callable[..., Any]) -> Iterator[Release]:
    project = Project(name=f"p{uuid.uuid4().hex[:8]}", description="x", poll_seconds=1)
    release = Release(project, local_aws, eventually)
    yield release
    release.tear_down()


def test_nothing_is_live_before_the_first_release(release: Release) -> None:
    assert release.live() is None


def test_what_is_live_is_told_with_what_it_was_made_from(release: Release) -> None:
    serving = release.deploy("inputs-1")
    assert serving is not None
    assert serving["inputs"] == "inputs-1"
    assert serving["artifact"].endswith("inputs-1/model.tar.gz")
    assert serving["function_version"] == "1"
    # Which a rollback to it would find there.
    assert releases.usable_function_version(release.project, "1", "9", release.functions) == "1"


@pytest.mark.parametrize(
    ("run_type", "serving", "stops"),
    [
        pytest.param("scheduled", {"model": "m", "inputs": "same"}, True, id="scheduled, unchanged"),
        pytest.param(
            "asset_triggered", {"model": "m", "inputs": "same"}, True, id="new data that is not new"
        ),
        pytest.param("scheduled", {"model": "m", "inputs": "other"}, False, id="scheduled, changed"),
        pytest.param("scheduled", None, False, id="scheduled, nothing is live"),
        pytest.param("manual", {"model": "m", "inputs": "same"}, False, id="asked for by a person"),
    ],
)
def test_a_run_that_nobody_asked_for_stops_where_nothing_changed(
    run_type: str, serving: dict[str, Any] | None, stops: bool
) -> None:
    reason = live.reason_to_stop(run_type, serving, "same")
    assert (reason is not None) == stops
    assert not stops or "m is live" in str(reason)


def test_a_rollback_brings_back_the_model_the_function_version_and_how_it_scaled(release: Release) -> None:
    before, scaling = release.deploy("inputs-1"), release.how_it_scales()
    assert scaling is not None
    assert (scaling["max_capacity"], scaling["policies"]["invocations"]["TargetValue"]) == (2, 20.0)
    after = release.deploy("inputs-2")
    release._scale(most=5, target=90.0)
    release.suspend_scaling()
    assert after != before
    for _ in range(2):  # a retry finds it done
        assert "serves again" in release.roll_back(before, scaling)
        assert (release.live(), release.how_it_scales()) == (before, scaling)
        assert not release.is_suspended()


def test_it_scales_again_even_where_the_endpoint_does_not_come_back(release: Release) -> None:
    before, scaling = release.deploy("inputs-1"), release.how_it_scales()
    assert before is not None
    release.suspend_scaling()
    with pytest.raises(ClientError, match="Could not find"):
        release.roll_back({**before, "endpoint_config": "gone"}, scaling)
    assert not release.is_suspended()


def test_the_cause_of_a_rollback_names_each_step_and_what_it_said() -> None:
    assert rollback.cause({"deploy_endpoint": "Unhealthy.", "put_alarms": "Throttled"}) == (
        "deploy_endpoint failed: Unhealthy. put_alarms failed: Throttled."
    )


def test_a_failed_first_release_leaves_nothing_that_serves(release: Release) -> None:
    release.deploy("inputs-1")
    assert "removed" in release.roll_back(None)
    assert release.live() is None
    with pytest.raises(release.functions.exceptions.ResourceNotFoundException):
        release.functions.get_function(FunctionName=names.function_name(release.project))
