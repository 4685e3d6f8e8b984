"""Store images, code and weights in S3."""

from __future__ import annotations

import functools
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import TaskGroup, chain, task
from dag_defaults import aws_client, run_of, task_group
from project_pages.links import DataReportLink
from run_results import as_json
from verdicts import record, skip
from waiting_tasks import frees_its_slot

from include.pipeline import job_requests, known_good, live, packages, pretrained, rollback, serving_image
from include.pipeline.data import staging
from include.pipeline.data.errors import DatasetError
from include.pipeline.results import ReleaseState, ServingImage, StagedCode, StagedData, StagedWeights
from include.pipeline.settings import OWN_IMAGE, Project
from include.pipeline.waiting import StepState
from pipeline_steps.results import PipelineResults


def prepare(project: Project) -> TaskGroup:
    """Store images, code and weights in S3, unless nothing has changed."""

    @task
    @as_json
    def stage_data() -> StagedData:
        """Check the images and upload them to S3."""
        results = PipelineResults()
        hook = AwsBaseHook(client_type="s3", config=staging.CLIENT_CONFIG)
        s3, credentials = hook.get_conn(), hook.get_session().get_credentials()
        try:
            staged = staging.stage(
                project,
                results.context["params"]["dataset"],
                results.environment.bucket,
                s3,
                credentials=credentials,
                judged=functools.partial(record, results.context),
                run=run_of(results.context),
            )
        except DatasetError as error:
            DataReportLink.persist_page(results.context, error.report)
            raise
        DataReportLink.persist_page(results.context, staged.report)
        return staged

    @task
    @as_json
    def package_code() -> StagedCode:
        """Upload the classifier's code to S3."""
        return packages.upload_classifier(project, PipelineResults().environment.bucket, aws_client("s3"))

    @task
    @as_json
    @frees_its_slot(project.poll_seconds)
    def read_live(state: StepState) -> ReleaseState:
        """Read the live model (champion), after rolling back the release of an unfinished run."""
        results, sagemaker, functions = PipelineResults(), aws_client("sagemaker"), aws_client("lambda")
        scaling = aws_client("application-autoscaling")
        ti: Any = results.context["ti"]
        rollbacks = state.once(
            "rollbacks", lambda: ti.get_dr_count(dag_id=f"{project.name}.rollback", states=["running"])
        )
        if rollbacks:
            record(
                results.context,
                f"A run of {project.name}.rollback is in progress: nothing is rolled back here.",
            )
        else:
            found = rollback.take_back_unproved(
                project, results.address, sagemaker, functions, scaling, state
            )
            record(
                results.context,
                found or "No earlier run has left a release that has not passed its smoke test.",
            )
        return known_good.read_state(project, sagemaker, functions, scaling)

    @task
    def check_for_changes() -> str:
        """End a scheduled run here if the live model has the same images, code and settings."""
        results = PipelineResults()
        inputs = job_requests.inputs_digest(
            project, results.stage_data.fingerprint, results.package_code.sha256
        )
        run_type = results.context["dag_run"].run_type
        reason = live.reason_to_stop(run_type, results.read_live.serving, inputs)
        if reason:
            skip(results.context, reason)
        return inputs

    @task
    @as_json
    def stage_weights() -> StagedWeights:
        """Upload the pretrained weights to S3."""
        return pretrained.stage_weights(project, PipelineResults().environment.bucket, aws_client("s3"))

    @task(task_id="serving_image")
    @as_json
    @frees_its_slot(project.poll_seconds)
    def find_serving_image(state: StepState) -> ServingImage:
        """Find the serving image in ECR, or have CodeBuild build it."""
        results = PipelineResults()
        return serving_image.ensure(
            results.environment,
            aws_client,
            state,
            progress=functools.partial(record, results.context),
        )

    with task_group(
        "prepare", "Prepare", "Check the images, and store images, code and weights in S3"
    ) as group:
        staged = [DataReportLink.add_to(stage_data()), package_code(), read_live()]
        last = [stage_weights()]
        if project.endpoint.image == OWN_IMAGE:  # only then is there one to build
            last.append(find_serving_image())
        chain(staged, check_for_changes(), last)
    return group
