"""The steps of ``<project>.teardown``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from airflow.sdk import Context, TaskGroup, TriggerRule, chain, get_current_context, task
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
from dag_defaults import aws_client, check_conf, task_group
from run_results import RunResults, as_json
from verdicts import record, skip
from waiting_tasks import frees_its_slot

from include.pipeline import infrastructure, inventory, names, resource_kinds, teardown
from include.pipeline.results import PlannedResource
from include.pipeline.settings import Project
from include.pipeline.waiting import StepState


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
        skip(get_current_context(), f"{what}: the option {option} is off in the form.")


def _only_if_confirmed(context: Context) -> None:
    """Skip a step if `confirm` failed, since each step starts even if the previous one failed."""
    if not RunResults(context).find("confirm", bool):
        raise AirflowSkipException("Nothing is deleted. For the reason, see the task confirm.")


def _only_if_workspace_goes(context: Context) -> None:
    """Skip the deletion of the workspace, unless the user has requested it."""
    _only_if_confirmed(context)
    if not _options(context).delete_workspace:
        raise AirflowSkipException("The workspace and its files are kept.")


STEP: dict[str, Any] = {"trigger_rule": TriggerRule.ALL_DONE, "pre_execute": _only_if_confirmed}
"""The arguments of all steps that delete something."""
WORKSPACE_STEP: dict[str, Any] = {**STEP, "pre_execute": _only_if_workspace_goes}


def _step(function: Callable[[], Any]) -> Any:
    """Return a task for a function that deletes something."""
    return task(function, **STEP)


def find_and_confirm(project: Project) -> list[Any]:
    """List the existing resources, and stop here unless they are to be deleted; return the steps in order."""

    @task
    @as_json
    def find() -> list[PlannedResource]:
        """List the existing resources, with the planned action for each."""
        context = get_current_context()
        check_conf(context)
        rows = [
            PlannedResource(
                what=row.what, name=row.name, then=teardown.planned_action(row.what, _options(context))
            )
            for row in inventory.list_resources(project, aws_client, _bucket())
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
        """Continue if a user has confirmed, or if the endpoint has received no requests for too long."""
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
            reason = f"{reason} A teardown would be rejected now: {' '.join(refused)}"
        record(context, reason or f"Confirmed: deleting the resources of {project.name}.")
        return reason is None

    return [find(), confirm()]


def delete_workspace(project: Project) -> TaskGroup:
    """Delete the notebook instance before the jobs are stopped, since users can start jobs from it."""
    with task_group("workspace", "Workspace", "The notebook instance, unless it is kept") as group:
        instance = SageMakerDeleteNotebookIfExistsOperator(
            task_id="delete_workspace",
            config={"NotebookInstanceName": names.workspace_name(project)},
            poll_interval=project.poll_seconds,
            deferrable=True,
            **WORKSPACE_STEP,
        )
        config = SageMakerDeleteLifecycleConfigIfExistsOperator(
            task_id="delete_workspace_config",
            config={"NotebookInstanceLifecycleConfigName": names.workspace_name(project)},
            **WORKSPACE_STEP,
        )
        chain(instance, config)
    return group


def stop_computing(project: Project) -> TaskGroup:
    """Stop jobs and terminate instances."""

    @_step
    @frees_its_slot(project.poll_seconds)
    def stop_jobs(state: StepState) -> int:
        """Stop running jobs, and release the instances of warm pools."""
        return teardown.stop_jobs(project, aws_client, state)

    @_step
    @frees_its_slot(project.poll_seconds)
    def terminate_instances(state: StepState) -> int:
        """Terminate the EC2 training instances, and delete their security group."""
        return teardown.terminate_instances(project, aws_client("ec2"), state)

    with task_group("jobs", "Jobs", "Running jobs, warm pools and instances") as group:
        chain(stop_jobs(), terminate_instances())
    return group


def delete_serving(project: Project) -> TaskGroup:
    """Delete the resources that serve requests."""

    @_step
    def find_endpoint_configs() -> list[dict[str, str]]:
        """List the endpoint configurations of all releases."""
        found = inventory.models_or_configs(project, resource_kinds.ENDPOINT_CONFIG, aws_client)
        return [{"EndpointConfigName": name} for name in found]

    @_step
    def find_models() -> list[dict[str, str]]:
        """List the models of all releases."""
        found = inventory.models_or_configs(project, resource_kinds.MODEL, aws_client)
        return [{"ModelName": name} for name in found]

    @_step
    def delete_alarms() -> int:
        """Delete the alarms."""
        return teardown.delete_alarms(project, aws_client)

    with task_group(
        "serving", "Endpoint and function", "The resources that serve requests, and their alarms"
    ) as group:
        delete_function = LambdaDeleteFunctionOperator(
            task_id="delete_function", function_name=names.function_name(project), **STEP
        )
        # The target must be deregistered before the endpoint is deleted.
        deregister_scaling = ApplicationAutoScalingDeregisterTargetOperator(
            task_id="deregister_scaling",
            service_namespace="sagemaker",
            resource_id=names.scaling_resource_id(project),
            scalable_dimension=names.SCALABLE_DIMENSION,
            **STEP,
        )
        delete_endpoint = SageMakerDeleteEndpointOperator(
            task_id="delete_endpoint",
            config={"EndpointName": names.endpoint_name(project)},
            poll_interval=project.poll_seconds,
            deferrable=True,
            **STEP,
        )
        endpoint_configs, models = find_endpoint_configs(), find_models()
        delete_endpoint_configs = SageMakerDeleteEndpointConfigOperator.partial(
            task_id="delete_endpoint_configs", **STEP
        ).expand(config=endpoint_configs)
        delete_models = SageMakerDeleteModelIfExistsOperator.partial(task_id="delete_models", **STEP).expand(
            config=models
        )
        chain(
            delete_function,
            deregister_scaling,
            delete_endpoint,
            [endpoint_configs, models],
            delete_endpoint_configs,
            delete_models,
            delete_alarms(),
        )
    return group


def delete_on_request(project: Project) -> TaskGroup:
    """Delete the optional resources that are selected in the form."""

    @_step
    def delete_registry() -> int:
        """Delete the model packages if selected in the form."""
        _if_asked("delete_registry", "Model packages are kept")
        return teardown.delete_registry(project, aws_client("sagemaker"))

    @_step
    def delete_data() -> int:
        """Delete the objects in S3 if selected in the form."""
        _if_asked("delete_data", "Images, models and reports in S3 are kept")
        bucket = _bucket()
        if bucket is None:
            skip(
                get_current_context(),
                "The stack no longer exists, so the name of the bucket is unknown.",
            )
        return teardown.delete_data(project, bucket, aws_client("s3"))

    @_step
    def delete_logs() -> int:
        """Delete the logs in CloudWatch if selected in the form."""
        _if_asked("delete_logs", "Logs are kept")
        return teardown.delete_logs(project, aws_client("logs"))

    @_step
    @frees_its_slot(project.poll_seconds)
    def delete_infrastructure(state: StepState) -> str:
        """Delete the CloudFormation stack if selected in the form and not needed by other projects."""
        _if_asked("delete_infrastructure", "The stack is kept")
        return teardown.delete_infrastructure(project, aws_client, state)

    with task_group("options", "Optional", "Optional resources that are selected in the form") as group:
        chain(delete_registry(), delete_data(), delete_logs(), delete_infrastructure())
    return group


def verify_teardown(project: Project) -> Any:
    """Verify that nothing is left."""

    @task(trigger_rule=TriggerRule.ALL_DONE)
    @frees_its_slot(project.poll_seconds)
    def verify(state: StepState) -> list[str]:
        """Fail if a step has failed or a resource with the project's tags still exists."""
        context = get_current_context()
        teardown.check_nothing_left(project, aws_client, _options(), failures(context), state)
        record(context, f"All resources of {project.name} that were selected for deletion are deleted.")
        return []

    return verify()
