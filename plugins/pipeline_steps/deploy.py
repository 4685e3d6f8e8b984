"""Deploy the model to the endpoint."""

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
from pipeline_steps.endpoint_scaling import resume_scaling, suspend_scaling
from pipeline_steps.results import PipelineResults, check_release, from_results


def deploy(project: Project) -> TaskGroup:
    """Deploy the model to the endpoint with alarms and scaling."""

    @task
    def put_alarms() -> list[str]:
        """Create alarms for errors and latency of the endpoint; return the alarms that roll the release back.

        Its logs are kept as long as the project says, from before it writes the first.
        """
        results, cloudwatch = PipelineResults(), aws_client("cloudwatch")
        log_retention.limit(project, names.endpoint_log_group(project), aws_client("logs"))
        alarms.put_alarms(project, cloudwatch, results.environment.topic)
        new = results.create_endpoint_config
        old = live.config_beside(project, new, aws_client("sagemaker"))
        return alarms.put_release_alarms(project, cloudwatch, new, old)

    target, declared = scaling.target(project), scaling.declared(project)
    ((policy_name, policy),) = declared.policies.items()
    with task_group(
        "deploy", "Deploy the endpoint", "Model, endpoint configuration, alarms, endpoint and scaling"
    ) as group:
        create_model = SageMakerModelIfAbsentOperator(
            task_id="create_model",
            config=from_results(lambda results: results.model(project)),
            pre_execute=check_release(project),
        )
        create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
            task_id="create_endpoint_config",
            config=from_results(
                lambda results: job_requests.endpoint_config(
                    project, results.environment.bucket, results.create_model
                )
            ),
        )
        alarmed = put_alarms()
        deploy_endpoint = SageMakerDeployEndpointOperator(
            task_id="deploy_endpoint",
            config=from_results(
                lambda results: job_requests.endpoint(project, results.create_endpoint_config)
            ),
            deployment_config=from_results(
                lambda results: job_requests.deployment(project, results.put_alarms)
            ),
            poll_interval=project.poll_seconds,
            deferrable=True,
            pre_execute=check_release(project),
        )
        scale_endpoint = ApplicationAutoScalingTargetTrackingOperator(
            task_id="scale_endpoint",
            service_namespace=target["ServiceNamespace"],
            resource_id=target["ResourceId"],
            scalable_dimension=target["ScalableDimension"],
            min_capacity=declared.min_capacity,
            max_capacity=declared.max_capacity,
            policy_name=policy_name,
            target_tracking_configuration=policy["TargetTrackingScalingPolicyConfiguration"],
        )
        chain(
            create_model,
            create_endpoint_config,
            alarmed,
            suspend_scaling(project),
            deploy_endpoint,
            scale_endpoint,
            resume_scaling(project),
        )
    return group
