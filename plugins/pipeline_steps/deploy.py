"""The model comes to the endpoint."""

from __future__ import annotations

from typing import Any

from airflow.sdk import TaskGroup, chain, task
from amazon_ml.operators.application_autoscaling import (
    ApplicationAutoScalingSuspendOperator,
    ApplicationAutoScalingTargetTrackingOperator,
)
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from dag_defaults import aws_client, task_group

from include.pipeline import alarms, job_requests, live, names
from include.pipeline.settings import Project
from pipeline_steps.done import Done, check_release, when_run


def deploy(project: Project) -> TaskGroup:
    """Let the endpoint serve the model, watched by alarms, and let it scale."""

    @task
    def put_alarms() -> list[str]:
        """Watch the endpoint for errors and slowness; returns the alarms that take the release back."""
        done, cloudwatch = Done(), aws_client("cloudwatch")
        alarms.put_alarms(project, cloudwatch, done.environment.topic)
        new = done["create_endpoint_config"]
        old = live.config_beside(project, new, aws_client("sagemaker"))
        return alarms.put_release_alarms(project, cloudwatch, new, old)

    scalable: dict[str, Any] = {
        "service_namespace": "sagemaker",
        "resource_id": names.scaling_resource_id(project),
        "scalable_dimension": names.SCALABLE_DIMENSION,
    }
    with task_group(
        "deploy", "Deploy the endpoint", "Model, endpoint configuration, alarms, endpoint and scaling"
    ) as group:
        create_model = SageMakerModelIfAbsentOperator(
            task_id="create_model",
            config=when_run(lambda done: done.model(project)),
            pre_execute=check_release(project),
        )
        create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
            task_id="create_endpoint_config",
            config=when_run(
                lambda done: job_requests.endpoint_config(
                    project, done.environment.bucket, done["create_model"]
                )
            ),
        )
        alarmed = put_alarms()
        # An instance that is added or taken away in the middle of an update is in its way.
        suspend_scaling = ApplicationAutoScalingSuspendOperator(
            task_id="suspend_scaling", if_registered=True, **scalable
        )
        deploy_endpoint = SageMakerDeployEndpointOperator(
            task_id="deploy_endpoint",
            config=when_run(lambda done: job_requests.endpoint(project, done["create_endpoint_config"])),
            deployment_config=when_run(lambda done: job_requests.deployment(project, done["put_alarms"])),
            poll_interval=project.poll_seconds,
            deferrable=True,
            pre_execute=check_release(project),
        )
        scale_endpoint = ApplicationAutoScalingTargetTrackingOperator(
            task_id="scale_endpoint",
            **scalable,
            min_capacity=project.endpoint.min_instances,
            max_capacity=project.endpoint.max_instances,
            policy_name=f"{project.aws_name}-invocations",
            target_tracking_configuration={
                "TargetValue": project.endpoint.target_invocations_per_minute,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
                "ScaleInCooldown": project.endpoint.scale_in_cooldown_seconds,
                "ScaleOutCooldown": project.endpoint.scale_out_cooldown_seconds,
            },
        )
        resume_scaling = ApplicationAutoScalingSuspendOperator(
            task_id="resume_scaling", suspend=False, **scalable
        )
        chain(
            create_model,
            create_endpoint_config,
            alarmed,
            suspend_scaling,
            deploy_endpoint,
            scale_endpoint,
            resume_scaling,
        )
    return group
