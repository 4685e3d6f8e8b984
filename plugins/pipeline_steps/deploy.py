"""The model comes to the endpoint."""

from __future__ import annotations

from airflow.sdk import TaskGroup, chain, task
from amazon_ml.operators.application_autoscaling import ApplicationAutoScalingTargetTrackingOperator
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from dag_defaults import aws_client, task_group

from include.pipeline import alarms, job_requests, live, log_retention, names, scaling
from include.pipeline.settings import Project
from pipeline_steps.done import Done, check_release, when_run


def deploy(project: Project) -> TaskGroup:
    """Let the endpoint serve the model, watched by alarms, and let it scale."""

    @task
    def put_alarms() -> list[str]:
        """Watch the endpoint for errors and slowness; returns the alarms that take the release back.

        Its logs are kept as long as the project says, from before it writes the first.
        """
        done, cloudwatch = Done(), aws_client("cloudwatch")
        log_retention.limit(project, names.endpoint_log_group(project), aws_client("logs"))
        alarms.put_alarms(project, cloudwatch, done.environment.topic)
        new = done["create_endpoint_config"]
        old = live.config_beside(project, new, aws_client("sagemaker"))
        return alarms.put_release_alarms(project, cloudwatch, new, old)

    @task
    def suspend_scaling() -> scaling.Scaling | None:
        """Keep the number of instances while the endpoint is updated: a change of it would be in the way."""
        done, sagemaker = Done(), aws_client("sagemaker")
        found = scaling.suspend(
            project, done["create_endpoint_config"], sagemaker, aws_client("application-autoscaling")
        )
        # An earlier try of this task may have deregistered it.
        return found or done["read_live"]["scaling"]

    @task
    def resume_scaling() -> None:
        """Let the endpoint scale again, also by what a person has added to the project's own policy."""
        scaling.resume(project, Done()["suspend_scaling"], aws_client("application-autoscaling"))

    target, declared = scaling.target(project), scaling.declared(project)
    ((policy_name, policy),) = declared["policies"].items()
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
            service_namespace=target["ServiceNamespace"],
            resource_id=target["ResourceId"],
            scalable_dimension=target["ScalableDimension"],
            min_capacity=declared["min_capacity"],
            max_capacity=declared["max_capacity"],
            policy_name=policy_name,
            target_tracking_configuration=policy["TargetTrackingScalingPolicyConfiguration"],
        )
        chain(
            create_model,
            create_endpoint_config,
            alarmed,
            suspend_scaling(),
            deploy_endpoint,
            scale_endpoint,
            resume_scaling(),
        )
    return group
