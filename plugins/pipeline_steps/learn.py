"""A model is found, trained and judged."""

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

from include.pipeline import (
    ec2_launch,
    ec2_requests,
    evaluation_report,
    job_requests,
    log_retention,
    tuning_report,
)
from include.pipeline.results import EvaluationJob, StagedData, TuningResult
from include.pipeline.settings import Project
from pipeline_steps.done import Done, when_run


def learn(project: Project) -> TaskGroup:
    """Find hyperparameters, train on SageMaker or EC2, and judge the model on test images."""

    @task.branch
    def choose_place() -> str:
        """Train on SageMaker, or on EC2, as the form says."""
        on_ec2 = get_current_context()["params"]["train_on"] == "ec2"
        return "prepare_ec2" if on_ec2 else "train"

    @task
    def prepare_ec2() -> dict[str, Any]:
        """Look up the newest Deep Learning AMI, find or make the security group, and limit how long logs are kept."""
        log_retention.limit(project, ec2_requests.log_group(project), aws_client("logs"))
        return ec2_launch.find(project, aws_client("ec2"), aws_client("ssm")).model_dump()

    def report_tuning(context: Context, result: Any) -> None:
        """Put the report of the trials to S3, and link the task to it."""
        done, s3 = Done(context), aws_client("s3")
        tuning = TuningResult.model_validate(result)
        page = tuning_report.publish(project, run_of(context), done.environment.bucket, s3, tuning)
        TuningReportLink.persist_page(context, page)

    def report_evaluation(context: Context, result: Any) -> None:
        """Put the report of the evaluation to S3, also if an earlier run has done the job; link the task to it."""
        done, s3 = Done(context), aws_client("s3")
        page = evaluation_report.publish(
            project,
            run_of(context),
            done.environment.bucket,
            s3,
            model=done.model(project)["ModelName"],
            job=EvaluationJob.model_validate(result),
            data=StagedData.model_validate(done["stage_data"]),
            artifact=done.trained["artifact"],
        )
        EvaluationReportLink.persist_page(context, page)

    job_arguments: dict[str, Any] = {"poll_interval": project.poll_seconds, "deferrable": True}
    with task_group("learn", "Train and evaluate", "Tune, train and evaluate the candidate") as group:
        features = []
        if project.classifier.frozen:  # only then can its features be computed once
            features.append(
                SageMakerResumableProcessingOperator(
                    task_id="features",
                    config=when_run(
                        lambda done: job_requests.features_job(
                            project,
                            done.environment,
                            data=done["stage_data"]["uri"],
                            code=done["package_code"]["uri"],
                            weights=done["stage_weights"]["uri"],
                            salt=done.salt,
                        )
                    ),
                    **job_arguments,
                )
            )
        tune = TuningReportLink.add_to(
            SageMakerResumableTuningOperator(
                task_id="tune",
                config=when_run(
                    lambda done: job_requests.tuning_job(
                        project,
                        done.environment,
                        channels=done.channels(project),
                        code=done["package_code"]["uri"],
                        salt=done.salt,
                    )
                ),
                post_execute=report_tuning,
                **job_arguments,
            )
        )
        train = SageMakerResumableTrainingOperator(
            task_id="train",
            config=when_run(
                lambda done: job_requests.training_job(
                    project,
                    done.environment,
                    instance_count=done.context["params"]["instance_count"],
                    **done.training(project),
                )
            ),
            **job_arguments,
        )
        place, prepared = choose_place(), prepare_ec2()
        train_on_ec2 = EC2TrainingOperator(
            task_id="train_on_ec2",
            config=when_run(
                lambda done: ec2_requests.training(
                    project,
                    done.environment,
                    ec2_launch.Launch.model_validate(done["prepare_ec2"]),
                    **done.training(project),
                )
            ),
            # Where there is no instance to be had now, there may be one in some minutes.
            retry_delay=timedelta(seconds=10 * project.poll_seconds),
            **job_arguments,
        )
        evaluate = EvaluationReportLink.add_to(
            SageMakerResumableProcessingOperator(
                task_id="evaluate",
                config=when_run(
                    lambda done: job_requests.evaluation_job(
                        project,
                        done.environment,
                        data=done["stage_data"]["uri"],
                        code=done["package_code"]["uri"],
                        candidate=done.trained["artifact"],
                        live=(done["read_live"]["serving"] or {}).get("artifact"),
                        salt=done.salt,
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
