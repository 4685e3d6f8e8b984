"""The function in front of the endpoint."""

from __future__ import annotations

from airflow.sdk import TaskGroup, chain
from amazon_ml.operators.lambda_function import (
    LambdaAliasOperator,
    LambdaDeployFunctionOperator,
    LambdaFunctionUrlOperator,
    LambdaProvisionedConcurrencyOperator,
    LambdaReservedConcurrencyOperator,
)

from include.pipeline import job_requests, names, packages
from include.pipeline.settings import Project
from pipeline_steps.done import check_release, when_run


def put_function(project: Project) -> TaskGroup:
    """Publish a version of the function, point the alias to it, and keep environments of it warm."""
    with TaskGroup(
        "function", prefix_group_id=False, tooltip="Code, version, alias, warm environments"
    ) as group:
        deploy_function = LambdaDeployFunctionOperator(
            task_id="deploy_function",
            function_name=names.function_name(project),
            config=when_run(lambda done: job_requests.function(project, done.environment)),
            zip_file=lambda: packages.function_package().content,
            description=when_run(lambda done: f"Serves {done['create_model']}"),
        )
        reserve_concurrency = LambdaReservedConcurrencyOperator(
            task_id="reserve_concurrency",
            function_name=names.function_name(project),
            reserved_concurrent_executions=project.function.reserved_concurrency,
        )
        move_alias = LambdaAliasOperator(
            task_id="move_alias",
            function_name=names.function_name(project),
            alias=names.ALIAS,
            function_version=when_run(lambda done: done["deploy_function"]["version"]),
            pre_execute=check_release(project),
        )
        provision_concurrency = LambdaProvisionedConcurrencyOperator(
            task_id="provision_concurrency",
            function_name=names.function_name(project),
            qualifier=names.ALIAS,
            provisioned_concurrent_executions=project.function.provisioned_concurrency,
            poll_interval=min(project.poll_seconds, 10),
        )
        function_url = LambdaFunctionUrlOperator(
            task_id="function_url",
            function_name=names.function_name(project),
            qualifier=names.ALIAS,
            auth_type="AWS_IAM" if project.function.url else None,
        )
        chain(deploy_function, reserve_concurrency, move_alias, provision_concurrency, function_url)
    return group
