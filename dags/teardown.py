"""``<project>.teardown``: removes what a project is billed for while it exists, and proves that it is gone.

It can be run at any time, any number of times. As the form stands, it only shows what it would remove: switch "Dry
run" off, and repeat the project's name. Images, models, reports, the model registry, logs and the infrastructure stay,
unless the form asks for their deletion; so a later `train_and_deploy` finds its jobs done and only deploys.

A step that fails does not keep the next ones from being done. The last task, `verify`, names what failed, and what is
left.

Where the project file has `endpoint.ttl_hours`, a run begins every hour, and goes on only where nobody has asked the
endpoint for so long. It leaves the workspace alone, since that holds files of people's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from airflow.sdk import (
    DAG,
    Context,
    Param,
    TriggerRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException
from amazon_ml.notifications.failures import failures
from amazon_ml.operators.application_autoscaling import ApplicationAutoScalingDeregisterTargetOperator
from amazon_ml.operators.lambda_function import LambdaDeleteFunctionOperator
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeleteEndpointConfigOperator,
    SageMakerDeleteEndpointOperator,
    SageMakerDeleteModelIfExistsOperator,
)
from amazon_ml.operators.sagemaker_notebook import (
    SageMakerDeleteLifecycleConfigIfExistsOperator,
    SageMakerDeleteNotebookIfExistsOperator,
)
from dag_defaults import add_dags, aws_client, check_conf, dag_link, dag_options, switch, task_group
from run_results import RunResults
from verdicts import record, skip

from include.pipeline import dag_docs, infrastructure, inventory, names, teardown
from include.pipeline.settings import Project


def _options(context: Context | None = None) -> teardown.Options:
    context = context or get_current_context()
    options = teardown.Options.of(context["params"])
    if context["dag_run"].run_type == "scheduled":
        return replace(options, delete_workspace=False)
    return options


def _bucket() -> str | None:
    try:
        return infrastructure.read_infrastructure(aws_client("cloudformation")).bucket
    except infrastructure.MissingStackError:
        return None


def _if_asked(option: str, what: str) -> None:
    """Skip the task whose option is off in the form."""
    if not getattr(_options(), option):
        skip(get_current_context(), f"{what}: the form did not ask to delete that ({option}).")


def _only_if_confirmed(context: Context) -> None:
    """Skip a step where `confirm` failed: a step begins after the one before, however that ended."""
    if not RunResults(context)["confirm"]:
        raise AirflowSkipException("Nothing is touched: task confirm tells why.")


def _only_if_workspace_goes(context: Context) -> None:
    """Skip what would delete the workspace, unless a person wants that."""
    _only_if_confirmed(context)
    if not _options(context).delete_workspace:
        raise AirflowSkipException("The workspace stays, with the files on it.")


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    options = dag_options(project, "teardown", "tear down", "destructive")
    scope = "What to delete"
    with DAG(
        **options,
        description=f"Destructive: delete the resources of {project.name} in AWS. Lists them first.",
        doc_md=dag_docs.teardown(project, dag_link),
        schedule=None if project.endpoint.ttl_hours is None else "@hourly",
        is_paused_upon_creation=False,  # it runs on request, and where the project file asks for the check
        params={
            "dry_run": switch(
                True,
                "Dry run",
                "Only list what would be deleted. Switch off to delete.",
            ),
            "confirm": Param(
                None,
                type=["null", "string"],
                title="Confirm",
                description=f"To delete, type the project's name: {project.name}. Leave empty for a dry run.",
            ),
            "delete_workspace": switch(
                True,
                "Delete workspace",
                "The notebook instance with all files on it. There is no undo.",
                scope,
            ),
            "delete_data": switch(
                False,
                "Delete data",
                "Images, models and reports in S3. There is no undo.",
                scope,
            ),
            "delete_registry": switch(
                False,
                "Delete registry",
                "The project's model packages and their group. There is no undo.",
                scope,
            ),
            "delete_logs": switch(
                False,
                "Delete logs",
                "The logs of the function, the endpoint and the jobs in CloudWatch. There is no undo.",
                scope,
            ),
            "delete_infrastructure": switch(
                False,
                "Delete infrastructure",
                "The CloudFormation stack, if no other project needs it. The bucket stays. Airflow's own "
                "policies do not allow it: docs/going-to-aws.md.",
                scope,
            ),
        },
    ) as dag:
        step: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE, "pre_execute": _only_if_confirmed}

        @task
        def find() -> list[dict[str, str]]:
            """Show what exists, and what becomes of it."""
            context = get_current_context()
            check_conf(context)
            rows = [
                {**row, "then": teardown.fate(row["what"], _options(context))}
                for row in inventory.look(project, aws_client, _bucket())
            ]
            dry_run = context["params"]["dry_run"] and context["dag_run"].run_type != "scheduled"
            record(
                context,
                teardown.verdict(project, rows, dry_run=dry_run),
                *teardown.show(rows),
            )
            return rows

        @task.short_circuit(ignore_downstream_trigger_rules=True)
        def confirm() -> bool:
            """Go on if a person means it, or nobody has asked the endpoint for too long."""
            context = get_current_context()
            ti, params = context["ti"], context["params"]
            releases = sum(
                ti.get_dr_count(dag_id=f"{project.name}.{kind}", states=["queued", "running"])
                for kind in ("train_and_deploy", "rollback", "workspace")
            )
            reason, refused = None, []
            if context["dag_run"].run_type == "scheduled":
                reason = teardown.reason_to_keep(project, releases, aws_client)
            elif params["dry_run"]:
                reason = teardown.dry_run_reason(project, params["confirm"])
                refused = teardown.refusals(project, releases, _options(context), aws_client)
            else:
                teardown.check_request(project, params["confirm"], releases)
            if refused:
                reason = f"{reason} A teardown would be refused now: {' '.join(refused)}"
            record(context, reason or f"Confirmed: the resources of {project.name} are deleted now.")
            return reason is None

        @task(**step)
        def stop_jobs() -> int:
            """Stop running jobs, and give back instances that wait for the next one."""
            return teardown.stop_jobs(project, aws_client)

        @task(**step)
        def terminate_instances() -> int:
            """Terminate EC2 instances that train, and delete their security group."""
            return teardown.terminate_instances(project, aws_client("ec2"))

        @task(**step)
        def find_endpoint_configs() -> list[dict[str, str]]:
            """List the endpoint configurations of all releases."""
            found = inventory.models_or_configs(project, "endpoint-config", aws_client)
            return [{"EndpointConfigName": name} for name in found]

        @task(**step)
        def find_models() -> list[dict[str, str]]:
            """List the models of all releases."""
            return [{"ModelName": name} for name in inventory.models_or_configs(project, "model", aws_client)]

        @task(**step)
        def delete_alarms() -> int:
            """Delete the alarms."""
            return teardown.delete_alarms(project, aws_client)

        @task(**step)
        def delete_registry() -> int:
            """Delete the model packages, where the form asks for it."""
            _if_asked("delete_registry", "Model packages stay")
            return teardown.delete_registry(project, aws_client("sagemaker"))

        @task(**step)
        def delete_data() -> int:
            """Delete what is in S3, where the form asks for it."""
            _if_asked("delete_data", "Images, models and reports stay in S3")
            bucket = _bucket()
            if bucket is None:
                skip(
                    get_current_context(),
                    "The stack does not exist any more, so the bucket's name is unknown.",
                )
            return teardown.delete_data(project, bucket, aws_client("s3"))

        @task(**step)
        def delete_logs() -> int:
            """Delete what is in CloudWatch Logs, where the form asks for it."""
            _if_asked("delete_logs", "Logs stay")
            return teardown.delete_logs(project, aws_client("logs"))

        @task(**step)
        def delete_infrastructure() -> str:
            """Delete the CloudFormation stack, where the form asks for it and nobody else needs it."""
            _if_asked("delete_infrastructure", "The stack stays")
            return teardown.delete_infrastructure(project, aws_client)

        @task(trigger_rule=TriggerRule.ALL_DONE)
        def verify() -> list[str]:
            """Name the steps that failed, and what still carries the project's tags: nothing."""
            context = get_current_context()
            teardown.check_nothing_left(project, aws_client, _options(), failures(context))
            record(context, f"Nothing is left of {project.name} that this teardown was to delete.")
            return []

        # Before the jobs are stopped, since more of them can be started there.
        workspace_step: dict[str, Any] = {**step, "pre_execute": _only_if_workspace_goes}
        with task_group("workspace", "Workspace", "The notebook instance, unless it stays"):
            delete_workspace = SageMakerDeleteNotebookIfExistsOperator(
                task_id="delete_workspace",
                config={"NotebookInstanceName": names.workspace_name(project)},
                poll_interval=project.poll_seconds,
                deferrable=True,
                **workspace_step,
            )
            delete_workspace_config = SageMakerDeleteLifecycleConfigIfExistsOperator(
                task_id="delete_workspace_config",
                config={"NotebookInstanceLifecycleConfigName": names.workspace_name(project)},
                **workspace_step,
            )
        with task_group("jobs", "Jobs", "Running jobs, warm pools and instances"):
            jobs = [stop_jobs(), terminate_instances()]
        with task_group("serving", "Endpoint and function", "What answers requests, and its alarms"):
            delete_function = LambdaDeleteFunctionOperator(
                task_id="delete_function", function_name=names.function_name(project), **step
            )
            # It must go before the endpoint does.
            deregister_scaling = ApplicationAutoScalingDeregisterTargetOperator(
                task_id="deregister_scaling",
                service_namespace="sagemaker",
                resource_id=names.scaling_resource_id(project),
                scalable_dimension=names.SCALABLE_DIMENSION,
                **step,
            )
            delete_endpoint = SageMakerDeleteEndpointOperator(
                task_id="delete_endpoint",
                config={"EndpointName": names.endpoint_name(project)},
                poll_interval=project.poll_seconds,
                deferrable=True,
                **step,
            )
            endpoint_configs, models = find_endpoint_configs(), find_models()
            delete_endpoint_configs = SageMakerDeleteEndpointConfigOperator.partial(
                task_id="delete_endpoint_configs", **step
            ).expand(config=endpoint_configs)
            delete_models = SageMakerDeleteModelIfExistsOperator.partial(
                task_id="delete_models", **step
            ).expand(config=models)
            alarms = delete_alarms()
        with task_group("options", "Optional", "What the form asks to delete as well"):
            optional = [delete_registry(), delete_data(), delete_logs(), delete_infrastructure()]
        chain(
            find(),
            confirm(),
            delete_workspace,
            delete_workspace_config,
            *jobs,
            delete_function,
            deregister_scaling,
            delete_endpoint,
            [endpoint_configs, models],
            delete_endpoint_configs,
            delete_models,
            alarms,
            *optional,
            verify(),
        )
    return dag


errors = add_dags(globals(), "teardown", build)
