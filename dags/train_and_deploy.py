"""``<project>.train_and_deploy``: from labelled images to a served, scaled and tested model."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    Param,
    chain,
)
from amazon_ml.triggers.s3 import S3ContentChangedTrigger
from dag_defaults import add_dags, default_args
from pipeline_steps import alerts
from pipeline_steps.conclude import conclude
from pipeline_steps.decide import decide
from pipeline_steps.deploy import deploy
from pipeline_steps.function import put_function
from pipeline_steps.learn import learn
from pipeline_steps.prepare import prepare
from pipeline_steps.start import start

from include.pipeline import names
from include.pipeline.settings import Project


def _schedule(project: Project) -> list[Asset] | AssetOrTimeSchedule:
    """New images start a run, and so does the clock where the project says so."""
    watchers = []
    if project.data.watch_seconds is not None:
        bucket, key = names.split_s3_uri(project.data.source)
        look = S3ContentChangedTrigger(
            bucket_name=bucket,
            key=key,
            asset_name=names.data_asset(project),
            poll_interval=project.data.watch_seconds,
        )
        watchers.append(AssetWatcher(name=names.data_asset(project), trigger=look))
    images = Asset(name=names.data_asset(project), watchers=watchers)
    if project.schedule is None:
        return [images]
    return AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(project.schedule, timezone="UTC"), assets=[images]
    )


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    dag_id = f"{project.name}.train_and_deploy"
    with DAG(
        dag_id=dag_id,
        description=project.description,
        schedule=_schedule(project),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        auto_register=False,  # by add_dags instead, once it is complete
        # What starts by itself begins when a person says so.
        is_paused_upon_creation=project.schedule is not None or project.data.watch_seconds is not None,
        tags=["image-classifier", project.name],
        doc_md=__doc__,
        params={
            "dataset": Param(
                project.data.source,
                type="string",
                minLength=1,
                title="Data set",
                description="generated, or a zip, tar or folder with one folder of images per class, in train, valid "
                "and test or without them: a path on the worker, an http(s):// or an s3:// address.",
            ),
            "train_on": Param(
                project.train_on,
                type="string",
                enum=["sagemaker", "ec2"],
                title="Train on",
                description="sagemaker: a training job. ec2: an EC2 instance that is there for the training alone.",
            ),
            "instance_count": Param(
                project.training.instance_count,
                type="integer",
                minimum=1,
                maximum=20,
                title="Training instances",
                description="How many instances train together.",
            ),
            "retrain": Param(
                False,
                type="boolean",
                title="Retrain",
                description="Run all jobs anew, even those that have been done with the same data, code and settings.",
            ),
            "require_approval": Param(
                project.require_approval,
                type="boolean",
                title="Require approval",
                description="Ask a person before the new model goes live.",
            ),
            "allow_removed_classes": Param(
                project.gate.allow_removed_classes,
                type="boolean",
                title="Allow removed classes",
                description="Release the new model without approval even if it lacks classes of the live model.",
            ),
            "allow_incomparable": Param(
                project.gate.allow_incomparable,
                type="boolean",
                title="Allow an incomparable live model",
                description="Release the new model without approval even if the live model can't be compared with it, "
                "for example because there are new classes.",
            ),
        },
        default_args=default_args(project.owner),
        on_failure_callback=alerts.on_failure(project, dag_id),
        deadline=alerts.deadline(project),
    ) as dag:
        deployed, function = deploy(project), put_function(project)
        release = [*deployed.iter_tasks(), *function.iter_tasks()]
        chain(
            *start(project),
            prepare(project),
            learn(project),
            decide(project),
            deployed,
            function,
            conclude(project, release),
        )
    return dag


errors = add_dags(globals(), "train_and_deploy", build)
