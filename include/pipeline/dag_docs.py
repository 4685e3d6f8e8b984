"""The documentation of a project's DAGs in Airflow: what each one does, what it costs, and how to stop it."""

from __future__ import annotations

from collections.abc import Callable

from include.pipeline.names import endpoint_name, function_name, workspace_name
from include.pipeline.settings import Project
from include.pipeline.target import is_local

Link = Callable[[str], str]
"""Returns a Markdown link to the DAG with the given ID."""

LOCAL = "This Airflow works with local AWS, which is free of charge. The following applies to AWS."


def train_and_deploy(project: Project, link: Link) -> str:
    """Return the documentation of ``<project>.train_and_deploy``."""
    tuning, training, endpoint = project.tuning, project.training, project.endpoint
    trainer = (
        f"an EC2 instance {project.ec2.instance_type}"
        if project.train_on == "ec2"
        else f"{training.instance_count} x {training.instance_type}"
    )
    return f"""\
# {project.name}: deploy a new model

{project.description}

This is the main DAG of the project. It checks the images and stores them in S3, tunes and trains a classifier,
compares it with the live model, deploys it to the SageMaker endpoint `{endpoint_name(project)}` behind the Lambda
function `{function_name(project)}`, and tests it with real requests. If a release fails, it restores the last good one.

## Start it

You can submit the form as it opens. {_started(project)} A run reuses the jobs of earlier runs with the same images,
code and settings, unless **Retrain** is on.

## What it costs

{_local()}- Each run: tuning (up to {tuning.max_jobs} x {tuning.instance_type}), training ({trainer}) and evaluation
  ({project.processing.instance_type}), billed by the second.
- Afterwards: at least {endpoint.min_instances} x {endpoint.instance_type} of the endpoint, billed until
  {link(f"{project.name}.teardown")} deletes it.

The log of the task `estimate_cost` starts with both amounts in US dollars. **Cost limit** in the form stops a run that
could cost more.

## Stop it

Mark the running task as failed: its job stops, and a release in progress is rolled back. If you mark the whole run as
failed during a release, the next run restores the last good release.

## Read more

- {link(f"{project.name}.rollback")} makes an earlier version live again.
- {link(f"{project.name}.workspace")} provides a notebook to explore the project.
- In the repository: `docs/operating.md` describes how to start, watch, call and stop the pipeline, and
  `docs/project-file.md` describes each key of `include/projects/{project.name}.yaml`.
"""


def rollback(project: Project, link: Link) -> str:
    """Return the documentation of ``<project>.rollback``."""
    return f"""\
# {project.name}: roll back

Makes an earlier version of {project.name} live again. It must have been approved and have passed its smoke test.

You can submit the form as it opens. The run then waits at the task `ask_for_version`, where the tab **Required
Actions** lists the available versions. Enter a number or `previous` in the form to choose without waiting.

The version that is live now becomes `Rejected`, so that no scheduled run deploys it again. If the chosen version fails
its smoke test, the last good release is restored.

## What it costs

Nothing besides the endpoint, which is billed anyway. Nothing is trained.

## Stop it

Before `create_model` has started, mark the run as failed: nothing has changed. After that, mark the running task as
failed, and the task `undo` restores the last good release.

## Read more

- {link(f"{project.name}.train_and_deploy")} trains and deploys a new version.
- In the repository: "Versions and rollbacks" in `docs/operating.md`.
"""


def workspace(project: Project, link: Link) -> str:
    """Return the documentation of ``<project>.workspace``."""
    settings = project.workspace
    stop = (
        "It does not stop automatically (`workspace.idle_stop_minutes`)."
        if settings.idle_stop_minutes is None
        else f"It stops automatically after {settings.idle_stop_minutes} minutes without activity."
    )
    return f"""\
# {project.name}: workspace

Creates, starts, stops or deletes the SageMaker notebook instance `{workspace_name(project)}`, with the project's
scripts and a notebook to explore the images, the trials and the live model. Each action can be repeated.

The tasks `create_instance` and `start_instance` link to the page that opens JupyterLab. On AWS, the console signs you
in. Airflow stores no credentials for it.

## What it costs

{_local()}- {settings.instance_type}, billed for as long as it is in service. {stop}
- Its disk of {settings.volume_gb} GB with your files, billed until the action **Delete**.

## Stop it

Start this DAG again with the action **Stop**. The files stay.

## Read more

- {link(f"{project.name}.train_and_deploy")} trains and deploys the model.
- In the repository: `docs/workspace.md`.
"""


def teardown(project: Project, link: Link) -> str:
    """Return the documentation of ``<project>.teardown``."""
    hours = project.endpoint.ttl_hours
    schedule = (
        ""
        if hours is None
        else f"""
## It also runs on a schedule

Every hour, because the project file has `endpoint.ttl_hours`. It deletes an endpoint that has had no request for
{hours:g} hours, and keeps the workspace.
"""
    )
    return f"""\
# {project.name}: tear down

**Destructive.** Deletes the resources of {project.name} that AWS bills while they exist: running jobs, instances, the
function, the endpoint, its models and alarms, and the workspace. Then verifies that they no longer exist.

You can submit the form as it opens. It is then a **dry run**: the log of the task `find` lists the existing resources
and what a teardown does with each of them. To delete, switch **Dry run** off and type the project's name,
`{project.name}`.

Images, models, reports, the model registry, logs and the CloudFormation stack stay, unless you choose in the form to
delete them. If they stay, a later run of {link(f"{project.name}.train_and_deploy")} does not train again, it only
deploys.
{schedule}
## What it costs

Nothing. It ends what is billed by the hour. What stays in S3 and in the logs is billed by size.

## Stop it

Mark the run as failed. Deleted resources stay deleted. Run the DAG again to delete the rest. A failed step does not
prevent the next ones. The last task, `verify`, lists what failed and what is left.

## Read more

- In the repository: "Tearing a project down" in `docs/operating.md`.
"""


def _started(project: Project) -> str:
    """Return what starts a run besides the form."""
    causes = []
    if project.schedule is not None:
        causes.append(f"the schedule `{project.schedule}` (UTC)")
    if project.data.watch_seconds is not None:
        causes.append(f"an upload to `{project.data.source}`")
    if not causes:
        return "Nothing else starts a run."
    return f"Runs are also started by {' and by '.join(causes)}, once the DAG is unpaused."


def _local() -> str:
    return f"{LOCAL}\n\n" if is_local() else ""
