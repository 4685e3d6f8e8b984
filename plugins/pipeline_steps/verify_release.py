"""Verify the release, or roll it back."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import TriggerRule, chain, task
from amazon_ml.notifications.failures import failures
from dag_defaults import aws_client, run_of
from project_pages.links import RunReportLink
from run_results import as_json
from verdicts import record, skip
from waiting_tasks import frees_its_slot

from include.pipeline import (
    cost,
    evaluation_report,
    known_good,
    live,
    live_version,
    registry,
    releases,
    report,
    rollback,
    smoke_test,
)
from include.pipeline.results import CleanUp, ReleaseReport, SmokeTestResult
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState
from pipeline_steps.results import PipelineResults

log = logging.getLogger(__name__)


def verify_release(project: Project, release: list[Any]) -> Any:
    """
    Verify the release with requests, or roll it back; clean up and report.

    :param release: The previous steps. If one of them fails, the previous release becomes live again.
    :return: The step that follows them.
    """

    @task(task_id="smoke_test")
    @as_json
    @frees_its_slot(project.poll_seconds)
    def run_smoke_test(state: StepState) -> SmokeTestResult:
        """Send unseen images to the function, check its predictions, and record that the release is good."""
        results, sagemaker, functions = PipelineResults(), aws_client("sagemaker"), aws_client("lambda")
        interval = results.gate.evaluation.candidate.accuracy_interval
        assert interval is not None  # the evaluation job always writes it
        expected = smoke_test.Expected(
            data=results.stage_data.uri,
            model=results.create_model,
            accuracy_interval=interval,
            answers=f"{results.evaluate.output}/answers.json",
        )
        found = smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions, state)
        record(results.context, smoke_test.verdict(found, expected.model))
        # In this task, not in a later one: if a user ends the run in between, its good release must not be rolled back.
        serving = results.live_now(project)
        if serving and serving.model == expected.model:
            registry.mark_released(
                results.register.arn,
                serving.function_version,
                sagemaker,
                live.image_digest(project, sagemaker),
            )
            known_good.note(project, serving, sagemaker)
        return found

    @task(task_id="rollback", trigger_rule=TriggerRule.ONE_FAILED)
    @frees_its_slot(project.poll_seconds)
    def roll_back(state: StepState) -> str:
        """If a step of the release failed, go back to the previous release and verify it."""
        results, sagemaker, functions = PipelineResults(), aws_client("sagemaker"), aws_client("lambda")
        scaling = aws_client("application-autoscaling")
        if not results.record_approval:
            skip(
                results.context, "The run failed before it released anything. The live model was not changed."
            )
        cause = rollback.cause(failures(results.context))

        def find_target() -> rollback.Target:
            # The release at the start of the run may be outdated, since the run may have been cleared.
            good = known_good.read(project, sagemaker, functions)
            return rollback.Target(
                release=good,
                scaling=known_good.scaling_of(
                    project, results.read_live, results.suspend_scaling, good, scaling
                ),
            )

        target = rollback.keep_target(project, state, sagemaker, find_target)
        before = target.release

        def reject() -> None:
            log.info("%s", cause)
            is_candidate = before is not None and before.model == results.model_name(project)
            if not is_candidate and not results.superseded(project):
                registry.set_approval(results.register.arn, "Rejected", cause, sagemaker)

        state.once("reject", reject)  # first, so that it is valid even if the rollback fails
        outcome = rollback.roll_back(project, before, target.scaling, sagemaker, functions, scaling, state)
        if before is not None:
            expected = releases.expected_before(
                before,
                registry.packages(project, sagemaker),
                results.stage_data.uri,
                results.gate.evaluation,
            )
            smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions, state)
            outcome += " It has passed the smoke test."
        record(results.context, f"{outcome} {cause}")
        return f"{cause} {outcome}"

    # Runs also after a run that released nothing, since each run registers a candidate.
    @task(trigger_rule=TriggerRule.NONE_FAILED)
    @as_json
    def clean_up() -> CleanUp:
        """Delete resources that are neither live nor needed for a rollback."""
        results, sagemaker = PipelineResults(), aws_client("sagemaker")
        serving, deleted = results.live_now(project), []
        if results.succeeded("smoke_test") and serving and serving.model == results.create_model:
            before, packages = results.read_live.good, registry.packages(project, sagemaker)
            deleted = releases.delete_superseded(project, serving, before, packages, sagemaker)
        model = serving.model if serving else None
        return CleanUp(deleted=deleted, pruned_versions=registry.prune(project, model, sagemaker))

    @task(task_id="report", trigger_rule=TriggerRule.NONE_FAILED)
    @as_json
    def write_report() -> ReleaseReport:
        """Write the run's report to S3."""
        results, s3, sagemaker = PipelineResults(), aws_client("s3"), aws_client("sagemaker")
        steps, run = results.steps, run_of(results.context)
        bucket = results.environment.bucket
        # the start of the run changes when the run is cleared
        started = results.context["dag_run"].run_after
        billed = cost.actual(project, steps.jobs, started, sagemaker, results.ec2_records(project))
        summary = report.summarize(
            project,
            run,
            steps,
            live=live_version.read(project, sagemaker, aws_client("lambda")),
            answer=results.pushed("record_approval", "answer"),
            evaluation=evaluation_report.read(project, run.id, bucket, s3) if steps.evaluate else None,
            billed=billed,
            bucket=bucket,
        )
        published = report.publish(project, summary, bucket, s3)
        if steps.evaluate:
            evaluation_report.update(project, run.id, bucket, s3, finished=True)
        RunReportLink.persist_page(results.context, published.report)
        return published

    tested = run_smoke_test()
    chain(tested, clean_up(), RunReportLink.add_to(write_report()))
    [*release, tested] >> roll_back()
    return tested
