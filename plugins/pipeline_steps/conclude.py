"""The release is proved to be good, or taken back."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import TriggerRule, chain, task
from amazon_ml.notifications.failures import failures
from dag_defaults import aws_client, run_of
from project_pages.links import RunReportLink
from verdicts import record, skip

from include.pipeline import (
    cost,
    evaluation_report,
    known_good,
    live_version,
    registry,
    releases,
    report,
    rollback,
    smoke_test,
)
from include.pipeline.results import StepResults
from include.pipeline.settings import Project
from pipeline_steps.done import Done

log = logging.getLogger(__name__)


def conclude(project: Project, release: list[Any]) -> Any:
    """
    Prove by requests that the release is good, or go back; clean up and report.

    :param release: the steps before, whose failure leads back to what served before.
    :return: the step that follows them.
    """

    @task(task_id="smoke_test")
    def run_smoke_test() -> dict[str, Any]:
        """Ask the function about images that the model has not seen, check its answers, and note that it is good."""
        done, sagemaker, functions = Done(), aws_client("sagemaker"), aws_client("lambda")
        expected = smoke_test.Expected(
            data=done["stage_data"]["uri"],
            model=done["create_model"],
            accuracy_interval=done["gate"]["evaluation"]["candidate"]["accuracy_interval"],
        )
        found = smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions)
        record(done.context, smoke_test.verdict(found, expected.model))
        # Here and not in a later task: a run that somebody ends in between must not have its good release taken back.
        serving = done.read_live(project)
        if serving and serving["model"] == expected.model:
            registry.mark_released(done["register"]["arn"], serving["function_version"], sagemaker)
            known_good.note(project, serving, sagemaker)
        return found

    @task(task_id="rollback", trigger_rule=TriggerRule.ONE_FAILED)
    def roll_back() -> str:
        """Go back to what served before, if any step of the release failed, and prove that it serves."""
        done, sagemaker, functions = Done(), aws_client("sagemaker"), aws_client("lambda")
        scaling = aws_client("application-autoscaling")
        if not done["record_approval"]:
            skip(done.context, "The run failed before anything was released; what is live was not changed.")
        # Not what served at the start of the run, which may have been cleared since.
        before, package = known_good.read(project, sagemaker, functions), done["register"]
        cause = rollback.cause(failures(done.context))
        log.info("%s", cause)
        # First, so that it counts even if the way back fails.
        if (before or {}).get("model") != done.model(project)["ModelName"] and not done.superseded(project):
            registry.decide(package["arn"], "Rejected", cause, sagemaker)
        state = rollback.roll_back(
            project,
            before,
            known_good.scaling_of(project, done["read_live"], done["suspend_scaling"], before, scaling),
            sagemaker,
            functions,
            scaling,
        )
        if before is not None:
            expected = releases.expected_before(
                before,
                registry.packages(project, sagemaker),
                done["stage_data"]["uri"],
                done["gate"]["evaluation"],
            )
            smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions)
            state += " It has passed the smoke test."
        record(done.context, f"{state} {cause}")
        return f"{cause} {state}"

    # Also after a run that released nothing: each one registers a candidate.
    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def clean_up() -> dict[str, Any]:
        """Delete what neither serves nor is needed for a rollback."""
        done, sagemaker = Done(), aws_client("sagemaker")
        serving, deleted = done.read_live(project), []
        if done["smoke_test"] and serving and serving["model"] == done["create_model"]:
            before, packages = done["read_live"]["good"], registry.packages(project, sagemaker)
            deleted = releases.delete_superseded(project, serving, before, packages, sagemaker)
        model = serving["model"] if serving else None
        return {"deleted": deleted, "pruned_versions": registry.prune(project, model, sagemaker)}

    @task(task_id="report", trigger_rule=TriggerRule.NONE_FAILED)
    def write_report() -> dict[str, Any]:
        """Put the run's report to S3."""
        done, s3, sagemaker = Done(), aws_client("s3"), aws_client("sagemaker")
        results, run = StepResults.read(done.__getitem__), run_of(done.context)
        bucket = done.environment.bucket
        # not the run's start, which is another after the run was cleared
        started = done.context["dag_run"].run_after
        billed = cost.actual(project, results.jobs, started, sagemaker, done.ec2_records(project))
        summary = report.summarize(
            project,
            run,
            results,
            live=live_version.read(project, sagemaker, aws_client("lambda")),
            answer=done.pushed("record_approval", "answer"),
            evaluation=evaluation_report.read(project, run.id, bucket, s3) if results.evaluate else None,
            billed=billed,
            bucket=bucket,
        )
        page = report.publish(project, summary, bucket, s3)
        if results.evaluate:
            evaluation_report.update(project, run.id, bucket, s3, finished=True)
        RunReportLink.persist_page(done.context, page)
        return {**summary.model_dump(mode="json"), "report": page}

    tested = run_smoke_test()
    chain(tested, clean_up(), RunReportLink.add_to(write_report()))
    [*release, tested] >> roll_back()
    return tested
