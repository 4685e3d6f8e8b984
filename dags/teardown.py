"""``<project>.teardown``: removes what a project is billed for while it exists, and proves that it is gone.

It can be run at any time, any number of times. Images, models and reports in S3 stay, unless the form asks for their
deletion; so a later `train_and_deploy` finds its jobs done and only deploys. Logs in CloudWatch stay too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import DAG, Param, TriggerRule, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from amazon_ml.operators.application_autoscaling import ApplicationAutoScalingDeregisterTargetOperator
from amazon_ml.operators.lambda_function import LambdaDeleteFunctionOperator
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeleteEndpointConfigOperator,
    SageMakerDeleteEndpointOperator,
    SageMakerDeleteModelIfExistsOperator,
)

from include.pipeline import infrastructure, names, teardown
from include.pipeline.settings import Project, read_projects


def _client(service: str) -> Any:
    return AwsBaseHook(client_type=service).get_conn()


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    with DAG(
        dag_id=f"{project.name}.teardown",
        description=f"Removes what {project.name} is billed for while it exists.",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,  # it runs on request alone
        tags=["image-classifier", project.name],
        doc_md=__doc__,
        params={
            "delete_data": Param(
                False,
                type="boolean",
                title="Delete data",
                description="Delete the project's images, models and reports in S3 as well. There is no undo.",
            ),
        },
        default_args={"owner": project.owner, "retries": 2, "retry_delay": timedelta(seconds=10)},
    ) as dag:
        tagging = "resourcegroupstaggingapi"

        @task
        def stop_jobs() -> int:
            """Stop running jobs."""
            return teardown.stop_jobs(project, _client("sagemaker"), _client(tagging))

        @task
        def find_endpoint_configs() -> list[dict[str, str]]:
            """List the endpoint configurations of all releases."""
            return teardown.find(project, "endpoint-config", "EndpointConfigName", _client(tagging))

        @task
        def find_models() -> list[dict[str, str]]:
            """List the models of all releases."""
            return teardown.find(project, "model", "ModelName", _client(tagging))

        # Where nothing was found, the mapped tasks are skipped, and what follows them is not.
        @task(trigger_rule=TriggerRule.NONE_FAILED)
        def delete_alarms() -> int:
            """Delete the alarms."""
            return teardown.delete_alarms(project, _client("cloudwatch"), _client(tagging))

        @task
        def delete_data() -> int:
            """Delete what is in S3, where the form asks for it."""
            if not get_current_context()["params"]["delete_data"]:
                raise AirflowSkipException(
                    "Images, models and reports stay in S3; the form did not ask to delete them."
                )
            bucket = infrastructure.read_infrastructure(_client("cloudformation")).bucket
            return teardown.delete_data(project, bucket, _client("s3"))

        @task(trigger_rule=TriggerRule.NONE_FAILED)
        def verify() -> list[str]:
            """List what still carries the project's tags: nothing."""
            teardown.check_nothing_left(project, _client(tagging))
            return []

        delete_function = LambdaDeleteFunctionOperator(
            task_id="delete_function", function_name=names.function_name(project)
        )
        # It must go before the endpoint does.
        deregister_scaling = ApplicationAutoScalingDeregisterTargetOperator(
            task_id="deregister_scaling",
            service_namespace="sagemaker",
            resource_id=names.scaling_resource_id(project),
            scalable_dimension="sagemaker:variant:DesiredInstanceCount",
        )
        delete_endpoint = SageMakerDeleteEndpointOperator(
            task_id="delete_endpoint",
            config={"EndpointName": names.endpoint_name(project)},
            poll_interval=project.poll_seconds,
            deferrable=True,
        )
        endpoint_configs, models = find_endpoint_configs(), find_models()
        delete_endpoint_configs = SageMakerDeleteEndpointConfigOperator.partial(
            task_id="delete_endpoint_configs"
        ).expand(config=endpoint_configs)
        delete_models = SageMakerDeleteModelIfExistsOperator.partial(
            task_id="delete_models", trigger_rule=TriggerRule.NONE_FAILED
        ).expand(config=models)
        chain(
            stop_jobs(),
            delete_function,
            deregister_scaling,
            delete_endpoint,
            [endpoint_configs, models],
            delete_endpoint_configs,
            delete_models,
            delete_alarms(),
            delete_data(),
            verify(),
        )
    return dag


for _project in read_projects()[0]:
    globals()[f"{_project.name}_teardown"] = build(_project)
