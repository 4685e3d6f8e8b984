"""Images, code and weights come to S3."""

from __future__ import annotations

import functools
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import TaskGroup, chain, task
from dag_defaults import aws_client, run_of, task_group
from project_pages.links import DataReportLink
from verdicts import record, skip

from include.pipeline import job_requests, known_good, live, packages, pretrained, rollback
from include.pipeline.data import staging
from include.pipeline.data.dataset import DatasetError
from include.pipeline.settings import Project
from pipeline_steps.done import Done


def prepare(project: Project) -> TaskGroup:
    """Bring images, code and weights to S3, unless nothing has changed."""

    @task
    def stage_data() -> dict[str, Any]:
        """Check the images and put them to S3."""
        done = Done()
        hook = AwsBaseHook(client_type="s3", config=staging.CLIENT_CONFIG)
        s3, credentials = hook.get_conn(), hook.get_session().get_credentials()
        try:
            staged = staging.stage(
                project,
                done.context["params"]["dataset"],
                done.environment.bucket,
                s3,
                credentials=credentials,
                judged=functools.partial(record, done.context),
                run=run_of(done.context),
            )
        except DatasetError as error:
            DataReportLink.persist_page(done.context, error.report)
            raise
        DataReportLink.persist_page(done.context, staged["report"])
        return staged

    @task
    def package_code() -> dict[str, str]:
        """Put the classifier's code to S3."""
        return packages.upload_classifier(project, Done().environment.bucket, aws_client("s3"))

    @task
    def read_live() -> dict[str, Any]:
        """Find out what serves now, the champion, after what an unfinished run left was taken back."""
        done, sagemaker, functions = Done(), aws_client("sagemaker"), aws_client("lambda")
        scaling = aws_client("application-autoscaling")
        ti: Any = done.context["ti"]
        if ti.get_dr_count(dag_id=f"{project.name}.rollback", states=["running"]):
            record(
                done.context, f"A run of {project.name}.rollback is in progress: nothing is rolled back here."
            )
        else:
            found = rollback.take_back_unproved(project, done.address, sagemaker, functions, scaling)
            record(
                done.context, found or "No earlier run has left a release that has not passed its smoke test."
            )
        return known_good.look(project, sagemaker, functions, scaling)

    @task
    def check_for_changes() -> str:
        """End a scheduled run here if the live model was made from the same images, code and settings."""
        done = Done()
        inputs = job_requests.inputs_digest(
            project, done["stage_data"]["fingerprint"], done["package_code"]["sha256"]
        )
        run_type = done.context["dag_run"].run_type
        reason = live.reason_to_stop(run_type, done["read_live"]["serving"], inputs)
        if reason:
            skip(done.context, reason)
        return inputs

    @task
    def stage_weights() -> dict[str, Any]:
        """Put the pretrained weights to S3."""
        return pretrained.stage_weights(project, Done().environment.bucket, aws_client("s3"))

    with task_group(
        "prepare", "Prepare", "Check the images, and store images, code and weights in S3"
    ) as group:
        staged = [DataReportLink.add_to(stage_data()), package_code(), read_live()]
        chain(staged, check_for_changes(), stage_weights())
    return group
