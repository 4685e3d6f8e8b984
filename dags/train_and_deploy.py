"""``<project>.train_and_deploy``: from labeled images to a served, scaled and tested model."""

from __future__ import annotations

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
from dag_defaults import add_dags, dag_link, dag_options, switch
from pipeline_steps import alerts
from pipeline_steps.check_run import check_run
from pipeline_steps.deploy import deploy
from pipeline_steps.function import put_function
from pipeline_steps.prepare import prepare
from pipeline_steps.review import review
from pipeline_steps.train_and_evaluate import train_and_evaluate
from pipeline_steps.verify_release import verify_release

from include.pipeline import dag_docs, names
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


def _form(project: Project) -> dict[str, Param]:
    """The fields of the form, with the project's own values, in the order in which the run needs them."""
    return {
        "dataset": Param(
            project.data.source,
            type="string",
            minLength=1,
            title="Data set",
            description="generated, or a zip, tar or folder with one folder of images per class, in train, valid and "
            "test or without them: a path on the worker, an http(s):// or an s3:// URL.",
            section="Data",
        ),
        "train_on": Param(
            project.train_on,
            type="string",
            enum=["sagemaker", "ec2"],
            values_display={
                "sagemaker": "SageMaker: a training job",
                "ec2": "EC2: an instance that exists for the training alone",
            },
            title="Train on",
            description="Where the final training runs. EC2 trains on one instance only.",
            section="Training",
        ),
        "instance_count": Param(
            project.training.instance_count,
            type="integer",
            minimum=1,
            maximum=20,
            title="Training instances",
            description="How many instances train together, 1 to 20. More than 1 needs SageMaker.",
            section="Training",
        ),
        "retrain": switch(
            False,
            "Retrain",
            "Run all jobs again, even those that have finished with the same images, code and settings.",
            "Training",
        ),
        "require_approval": switch(
            project.require_approval,
            "Require approval",
            "Ask a person before the new model goes live.",
            "Release",
        ),
        "allow_removed_classes": switch(
            project.gate.allow_removed_classes,
            "Allow removed classes",
            "Release the new model without approval even if it lacks classes of the live model.",
            "Release",
        ),
        "allow_incomparable": switch(
            project.gate.allow_incomparable,
            "Allow an incomparable live model",
            "Release the new model without approval even if the live model can't be compared with it, for example "
            "because there are new classes.",
            "Release",
        ),
        "max_cost_usd": Param(
            project.cost.max_cost_usd,
            type=["null", "number"],
            minimum=0,
            title="Cost limit in US dollars",
            description="The run stops before its first job if the jobs could cost more. Leave empty for no limit.",
            section="Cost",
        ),
    }


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    options = dag_options(project, "train_and_deploy", "deploy a new model", "main")
    with DAG(
        **options,
        description=f"Start here. Train, deploy and test a model: {project.description}",
        doc_md=dag_docs.train_and_deploy(project, dag_link),
        schedule=_schedule(project),
        # What starts by itself begins when a person says so.
        is_paused_upon_creation=project.schedule is not None or project.data.watch_seconds is not None,
        params=_form(project),
        on_failure_callback=alerts.on_failure(project, options["dag_id"]),
        deadline=alerts.deadline(project),
    ) as dag:
        deployed, function = deploy(project), put_function(project)
        release = [*deployed.iter_tasks(), *function.iter_tasks()]
        chain(
            *check_run(project),
            prepare(project),
            train_and_evaluate(project),
            review(project),
            deployed,
            function,
            verify_release(project, release),
        )
    return dag


errors = add_dags(globals(), "train_and_deploy", build)
