"""Deploy the function in front of the endpoint."""

from __future__ import annotations

from airflow.sdk import Context, TaskGroup, chain, task
from amazon_ml.operators.lambda_alias import LambdaAliasOperator, LambdaProvisionedConcurrencyOperator
from amazon_ml.operators.lambda_function import (
    LambdaDeployFunctionOperator,
    LambdaFunctionUrlOperator,
    LambdaReservedConcurrencyOperator,
)
from dag_defaults import aws_client, task_group
from run_results import as_json

from include.pipeline import job_requests, log_retention, names, packages, smoke_test
from include.pipeline.results import FunctionAnswer
from include.pipeline.settings import Project
from pipeline_steps.results import PipelineResults, check_release, from_results


def put_function(project: Project) -> TaskGroup:
    """Publish a version of the function, test it, point the alias to it, and provision concurrency for it."""

    @task
    @as_json
    def invoke_version() -> FunctionAnswer:
        """Invoke the new version with a test image, so that code that can't start never receives requests."""
        results = PipelineResults()
        return smoke_test.invoke_version(
            project,
            results.deploy_function.version,
            results.stage_data.uri,
            results.create_model,
            aws_client("s3"),
            aws_client("lambda"),
        )

    def limit_logs(context: Context) -> None:
        """Set the retention of the function's logs before it writes the first one."""
        log_retention.limit(project, names.function_log_group(project), aws_client("logs"))

    poll_seconds = min(project.poll_seconds, 10)
    with task_group(
        "function", "Deploy the function", "Code, version, alias and provisioned concurrency"
    ) as group:
        deploy_function = LambdaDeployFunctionOperator(
            task_id="deploy_function",
            function_name=names.function_name(project),
            config=from_results(lambda results: job_requests.function(project, results.environment)),
            zip_file=lambda: packages.function_package().content,
            description=from_results(lambda results: f"Serves {results.create_model}"),
            pre_execute=limit_logs,
        )
        reserve_concurrency = LambdaReservedConcurrencyOperator(
            task_id="reserve_concurrency",
            function_name=names.function_name(project),
            reserved_concurrent_executions=project.function.reserved_concurrency,
            provisioned_concurrent_executions={names.ALIAS: project.function.provisioned_concurrency},
        )
        move_alias = LambdaAliasOperator(
            task_id="move_alias",
            function_name=names.function_name(project),
            alias=names.ALIAS,
            function_version=from_results(lambda results: results.deploy_function.version),
            pre_execute=check_release(project),
            poll_interval=poll_seconds,
            deferrable=True,
        )
        provision_concurrency = LambdaProvisionedConcurrencyOperator(
            task_id="provision_concurrency",
            function_name=names.function_name(project),
            qualifier=names.ALIAS,
            provisioned_concurrent_executions=project.function.provisioned_concurrency,
            poll_interval=poll_seconds,
            deferrable=True,
        )
        function_url = LambdaFunctionUrlOperator(
            task_id="function_url",
            function_name=names.function_name(project),
            qualifier=names.ALIAS,
            auth_type="AWS_IAM" if project.function.url else None,
        )
        chain(
            deploy_function,
            reserve_concurrency,
            invoke_version(),
            move_alias,
            provision_concurrency,
            function_url,
        )
    return group
