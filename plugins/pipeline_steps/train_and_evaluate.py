"""Tune, train and evaluate a model."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Context, TaskGroup, TriggerRule, chain, get_current_context, task
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.operators.sagemaker_jobs import (
    SageMakerResumableProcessingOperator,
    SageMakerResumableTrainingOperator,
    SageMakerResumableTuningOperator,
)
from dag_defaults import aws_client, run_of, task_group
from project_pages.links import EvaluationReportLink, TuningReportLink
from run_results import as_json

from include.pipeline import (
    ec2_launch,
    ec2_requests,
    evaluation_report,
    job_requests,
    log_retention,
    tuning_report,
)
from include.pipeline.results import ProcessingJob, TuningResult
from include.pipeline.settings import Project
from pipeline_steps.results import PipelineResults, from_results


def train_and_evaluate(project: Project) -> TaskGroup:
    """Tune hyperparameters, train on SageMaker or EC2, and evaluate the model on test images."""

    @task.branch
    def choose_place() -> str:
        """Choose SageMaker or EC2 for the training, according to the form."""
        on_ec2 = get_current_context()["params"]["train_on"] == "ec2"
        return "prepare_ec2" if on_ec2 else "train"

    @task
    @as_json
    def prepare_ec2() -> ec2_launch.Launch:
        """Look up the newest Deep Learning AMI, find or make the security group, and limit how long logs are kept."""
        log_retention.limit(project, ec2_requests.log_group(project), aws_client("logs"))
        return ec2_launch.find(project, aws_client("ec2"), aws_client("ssm"))

    def report_tuning(context: Context, result: Any) -> None:
        """Write the report of the trials to S3, and link to it from the task."""
        results, s3 = PipelineResults(context), aws_client("s3")
        tuning = TuningResult.model_validate(result)
        page = tuning_report.publish(project, run_of(context), results.environment.bucket, s3, tuning)
        TuningReportLink.persist_page(context, page)

    def report_evaluation(context: Context, result: Any) -> None:
        """Write the evaluation report to S3, even if an earlier run has done the job; link to it from the task."""
        results, s3 = PipelineResults(context), aws_client("s3")
        page = evaluation_report.publish(
            project,
            run_of(context),
            results.environment.bucket,
            s3,
            model=results.model_name(project),
            job=ProcessingJob.model_validate(result),
            data=results.stage_data,
            artifact=results.trained.artifact,
        )
        EvaluationReportLink.persist_page(context, page)

    job_arguments: dict[str, Any] = {"poll_interval": project.poll_seconds, "deferrable": True}
    with task_group(
        "train_and_evaluate", "Train and evaluate", "Tune, train and evaluate the candidate"
    ) as group:
        features = []
        if project.classifier.frozen:  # only then are its features always the same
            features.append(
                SageMakerResumableProcessingOperator(
                    task_id="features",
                    config=from_results(
                        lambda results: job_requests.features_job(
                            project,
                            results.environment,
                            data=results.stage_data.uri,
                            code=results.package_code.uri,
                            weights=results.weights,
                            rerun_token=results.rerun_token,
                        )
                    ),
                    **job_arguments,
                )
            )
        tune = TuningReportLink.add_to(
            SageMakerResumableTuningOperator(
                task_id="tune",
                config=from_results(
                    lambda results: job_requests.tuning_job(
                        project,
                        results.environment,
                        channels=results.channels(project),
                        code=results.package_code.uri,
                        rerun_token=results.rerun_token,
                    )
                ),
                post_execute=report_tuning,
                **job_arguments,
            )
        )
        train = SageMakerResumableTrainingOperator(
            task_id="train",
            config=from_results(
                lambda results: job_requests.training_job(
                    project,
                    results.environment,
                    instance_count=results.context["params"]["instance_count"],
                    **vars(results.training(project)),
                )
            ),
            **job_arguments,
        )
        place, prepared = choose_place(), prepare_ec2()
        train_on_ec2 = EC2TrainingOperator(
            task_id="train_on_ec2",
            config=from_results(
                lambda results: ec2_requests.training(
                    project,
                    results.environment,
                    results.prepare_ec2,
                    **vars(results.training(project)),
                )
            ),
            # If no instance is available now, one may be available in a few minutes.
            retry_delay=timedelta(seconds=10 * project.poll_seconds),
            **job_arguments,
        )
        evaluate = EvaluationReportLink.add_to(
            SageMakerResumableProcessingOperator(
                task_id="evaluate",
                config=from_results(
                    lambda results: job_requests.evaluation_job(
                        project,
                        results.environment,
                        data=results.stage_data.uri,
                        code=results.package_code.uri,
                        candidate=results.trained.artifact,
                        live=results.read_live.serving.artifact if results.read_live.serving else None,
                        rerun_token=results.rerun_token,
                    )
                ),
                post_execute=report_evaluation,
                # One of the two trainings is skipped.
                trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
                **job_arguments,
            ),
        )
        chain(*features, tune, place, [train, prepared])
        prepared >> train_on_ec2
        [train, train_on_ec2] >> evaluate
    return group
