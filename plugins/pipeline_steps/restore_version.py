"""Make the chosen version live again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.sdk import Context, TaskGroup, TriggerRule, chain, task
from amazon_ml.notifications.failures import failures
from amazon_ml.operators.lambda_alias import LambdaAliasOperator
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from dag_defaults import aws_client, run_of, task_group
from project_pages.links import RunReportLink
from run_results import as_json
from verdicts import record, skip
from waiting_tasks import frees_its_slot

from include.pipeline import (
    job_requests,
    known_good,
    live,
    live_version,
    names,
    registry,
    releases,
    report,
    rollback,
    smoke_test,
)
from include.pipeline.results import ChosenVersion, FunctionAnswer, RollbackReport, SmokeTestResult
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState
from pipeline_steps.endpoint_scaling import resume_scaling, suspend_scaling
from pipeline_steps.results import RollbackResults, template_field


def from_results(build: Callable[[RollbackResults], Any]) -> Any:
    """Return a template field that is built from the results of the rollback when its task runs."""
    return template_field(RollbackResults, build)


def check_release(project: Project) -> Callable[[Context], None]:
    """Return a check that fails after another release has passed, since a cleared task runs without earlier tasks."""

    def check(context: Context) -> None:
        results = RollbackResults(context)
        reason = known_good.superseded(
            project,
            results.read_live.good,
            results.choose_version.model_name,
            aws_client("sagemaker"),
            aws_client("lambda"),
        )
        if reason:
            raise releases.ReleaseError(reason)

    return check


def outcome(results: RollbackResults) -> str:
    """Return a sentence that names the new and the previous live version."""
    return f"Version {results.choose_version.version} is live again instead of {results.replaced.model}."


def deploy_version(project: Project) -> TaskGroup:
    """Deploy the version to the endpoint."""
    with task_group(
        "deploy", "Deploy the endpoint", "Model, endpoint configuration, endpoint and scaling"
    ) as group:
        create_model = SageMakerModelIfAbsentOperator(
            task_id="create_model",
            config=from_results(lambda results: results.choose_version.model),
        )
        create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
            task_id="create_endpoint_config",
            config=from_results(
                lambda results: job_requests.endpoint_config(
                    project, results.preflight.bucket, results.create_model
                )
            ),
        )
        suspended = suspend_scaling(project)
        deploy_endpoint = SageMakerDeployEndpointOperator(
            task_id="deploy_endpoint",
            # Shift all traffic at once and ignore alarms, since the live version is the one to replace.
            config=from_results(
                lambda results: job_requests.endpoint(project, results.create_endpoint_config)
            ),
            poll_interval=project.poll_seconds,
            deferrable=True,
            pre_execute=check_release(project),
        )
        resumed = resume_scaling(project)
        chain(create_model, create_endpoint_config, suspended, deploy_endpoint, resumed)
    return group


def switch_function(project: Project) -> TaskGroup:
    """Point the function's alias to the version that belongs to the model."""

    @task
    @as_json
    def invoke_version() -> FunctionAnswer:
        """Invoke the function's version with a test image, so that code that can't start never receives requests."""
        chosen = RollbackResults().choose_version
        expected = releases.expected_of(registry.describe(chosen.arn, aws_client("sagemaker")))
        return smoke_test.invoke_version(
            project,
            chosen.function_version,
            expected.data,
            expected.model,
            aws_client("s3"),
            aws_client("lambda"),
        )

    with task_group(
        "function", "Switch the function", "Invoke the version, and point the alias to it"
    ) as group:
        invoked = invoke_version()
        move_alias = LambdaAliasOperator(
            task_id="move_alias",
            function_name=names.function_name(project),
            alias=names.ALIAS,
            function_version=from_results(lambda results: results.choose_version.function_version),
            pre_execute=check_release(project),
            poll_interval=min(project.poll_seconds, 10),
            deferrable=True,
        )
        chain(invoked, move_alias)
    return group


def verify_version(project: Project, release: list[Any]) -> list[Any]:
    """
    Verify with requests that the version works, or undo the rollback; write the report.

    :param release: The previous steps. If one of them fails, the last good release becomes live again.
    :return: The steps in order.
    """

    @task(task_id="smoke_test")
    @as_json
    @frees_its_slot(project.poll_seconds)
    def run_smoke_test(state: StepState) -> SmokeTestResult:
        """Send unseen images to the function, check its predictions, and reject the previous live version."""
        results, sagemaker, functions = RollbackResults(), aws_client("sagemaker"), aws_client("lambda")
        package = registry.describe(results.choose_version.arn, sagemaker)
        expected = releases.expected_of(package)
        found = smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions, state)
        record(results.context, f"{outcome(results)} {smoke_test.verdict(found, package.model)}")
        # In this task, not in a later one: if a user ends the run in between, the next run must not undo it.
        serving = live.read_live(project, sagemaker, functions)
        if serving and serving.model == package.model:
            known_good.note(project, serving, sagemaker)
        left = registry.find(results.replaced.model, registry.packages(project, sagemaker))
        if left is not None:
            reason = f"{outcome(results)} Run {results.context['run_id']}."
            registry.set_approval(left.arn, "Rejected", reason, sagemaker)
        return found

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    @frees_its_slot(project.poll_seconds)
    def undo(state: StepState) -> str:
        """Go back to the last good release if the chosen version does not work."""
        results, sagemaker, functions = RollbackResults(), aws_client("sagemaker"), aws_client("lambda")
        if results.find("choose_version", ChosenVersion) is None:
            skip(
                results.context, "The run failed before it released anything. The live model was not changed."
            )
        autoscaling, before = aws_client("application-autoscaling"), results.read_live

        def find_target() -> rollback.Target:
            good = known_good.read(project, sagemaker, functions) or before.serving
            return rollback.Target(
                release=good,
                scaling=known_good.scaling_of(project, before, results.suspend_scaling, good, autoscaling),
            )

        target = rollback.keep_target(project, state, sagemaker, find_target)
        outcome = rollback.roll_back(
            project, target.release, target.scaling, sagemaker, functions, autoscaling, state
        )
        cause = rollback.cause(failures(results.context))
        record(results.context, f"{outcome} {cause}")
        return f"{cause} {outcome}"

    @task(task_id="report")
    @as_json
    def write_report() -> RollbackReport:
        """Write the run's report to S3."""
        results = RollbackResults()
        check_release(project)(results.context)
        context, chosen = results.context, results.choose_version
        bucket, s3, sagemaker = results.preflight.bucket, aws_client("s3"), aws_client("sagemaker")
        summary = report.summarize_rollback(
            project,
            run_of(context),
            live=live_version.read(project, sagemaker, aws_client("lambda")),
            outcome=" ".join(filter(None, (outcome(results), chosen.warning))),
            model=chosen.model_name,
            smoke_test=results.smoke_test,
            data=releases.expected_of(registry.describe(chosen.arn, sagemaker)).data,
        )
        published = report.publish(project, summary, bucket, s3)
        RunReportLink.persist_page(context, published.report)
        return published

    tested = run_smoke_test()
    [*release, tested] >> undo()
    return [tested, RunReportLink.add_to(write_report())]
