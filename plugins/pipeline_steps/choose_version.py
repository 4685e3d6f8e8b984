"""Choose which version of a project becomes live again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TriggerRule, get_current_context, task
from dag_defaults import aws_client, check_conf
from human_input.operators import AskOperator
from run_results import as_json
from verdicts import record

from include.pipeline import infrastructure, job_requests, known_good, registry, releases
from include.pipeline.results import ChosenVersion, ReleaseState
from include.pipeline.settings import Project
from pipeline_steps import alerts
from pipeline_steps.results import RollbackResults, template_field


def question(results: RollbackResults) -> str:
    """Return the text of the question, with a warning about versions with an older container image."""
    text = f"Live now: {results.replaced.model}."
    if any(releases.OLDER_IMAGE in label for label in results.list_versions):
        text += (
            " AWS may no longer patch an older container image. Train a new model soon after such a rollback."
        )
    return text


def choose(project: Project) -> list[Any]:
    """List the good versions, and choose one in the form or by an answer; return the steps in order."""

    @task
    @as_json
    def preflight() -> infrastructure.Infrastructure:
        """Check the conf of the run and the infrastructure."""
        check_conf(get_current_context())
        return infrastructure.read_infrastructure(aws_client("cloudformation"))

    @task
    @as_json
    def read_live() -> ReleaseState:
        """Read the live release, the last good release, and the scaling."""
        return known_good.read_state(
            project,
            aws_client("sagemaker"),
            aws_client("lambda"),
            aws_client("application-autoscaling"),
        )

    @task
    def list_versions() -> list[str]:
        """List the versions that have passed their smoke test, newest first."""
        serving = RollbackResults().read_live.serving
        sagemaker = aws_client("sagemaker")
        image = releases.current_image(project, sagemaker.meta.region_name)
        found = releases.versions(serving.model if serving else None, registry.packages(project, sagemaker))
        labels = [releases.label(package, image) for package in found]
        record(get_current_context(), f"Versions that can become live again: {len(labels)}.", *labels)
        return labels

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    @as_json
    def choose_version() -> ChosenVersion:
        """Look up the version from the form or the answer."""
        results, sagemaker = RollbackResults(), aws_client("sagemaker")
        answer, serving = results.ask_for_version, results.replaced
        wanted = answer.chosen_options[0] if answer else results.context["params"]["version"]
        package = releases.choose(wanted, serving.model, registry.packages(project, sagemaker))
        function_version = releases.usable_function_version(
            project,
            package.properties.get("function_version"),
            serving.function_version,
            aws_client("lambda"),
        )
        image = releases.current_image(project, sagemaker.meta.region_name)
        warning = releases.image_warning(package, image)
        sentence = f"{releases.described(package)} replaces {serving.model}."
        record(results.context, " ".join(filter(None, (sentence, warning))))
        return ChosenVersion(
            warning=warning,
            arn=package.arn,
            version=package.version,
            model=job_requests.registered_model(
                project,
                results.preflight.sagemaker_role,
                package.model,
                package.container,
                package.properties["inputs"],
            ),
            function_version=function_version,
        )

    ask = AskOperator(
        task_id="ask_for_version",
        subject=f"Which version of {project.name} should become live again?",
        body=template_field(RollbackResults, question),
        options=lambda context: RollbackResults(context).list_versions,
        response_timeout=timedelta(hours=project.approval.timeout_hours),
        skip=lambda context: "The form names a version." if context["params"]["version"] else None,
        notifiers=alerts.on_question(project),
    )
    return [preflight(), read_live(), list_versions(), ask, choose_version()]
