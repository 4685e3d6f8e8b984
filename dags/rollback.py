"""``<project>.rollback``: lets an earlier version serve again, one that has passed its smoke test.

The version is chosen by a person while the run waits, from a list of those that are known to be good, or named in the
form. The version that serves now is marked as rejected, so that no scheduled run brings it back. If the chosen one
fails its smoke test, the last good release serves again.
"""

from __future__ import annotations

from datetime import timedelta
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
from amazon_ml.notifications.failures import failures
from amazon_ml.operators.lambda_alias import LambdaAliasOperator
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from dag_defaults import add_dags, aws_client, check_conf, dag_link, dag_options, run_of, task_group
from human_input.operators import AskOperator
from pipeline_steps import alerts
from project_pages.links import RunReportLink
from run_results import RunResults
from verdicts import record, skip

from include.pipeline import (
    dag_docs,
    infrastructure,
    job_requests,
    known_good,
    live,
    live_version,
    names,
    registry,
    releases,
    report,
    rollback,
    scaling,
    smoke_test,
)
from include.pipeline.results import SmokeTestResult
from include.pipeline.settings import Project


def chosen_value(key: str) -> Any:
    """What ``choose_version`` has returned with a key, for a template field."""
    return lambda context, jinja_env: RunResults(context)["choose_version"][key]


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    options = dag_options(project, "rollback", "roll back", "changes the live model")
    with DAG(
        **options,
        description=f"Make an earlier version of {project.name} live again.",
        doc_md=dag_docs.rollback(project, dag_link),
        schedule=None,
        is_paused_upon_creation=False,  # it runs on request alone
        params={
            "version": Param(
                None,
                type=["null", "string"],
                pattern=rf"^(|[1-9]\d*|{releases.PREVIOUS})$",
                examples=[releases.PREVIOUS],
                title="Version",
                description="Leave empty to choose from a list of the good versions while the run waits. Or enter "
                f"{releases.PREVIOUS}, or a version's number in the model registry.",
            ),
        },
        on_failure_callback=alerts.on_failure(project, options["dag_id"]),
    ) as dag:

        @task
        def preflight() -> dict[str, Any]:
            """See that the run's conf is understood and the infrastructure is there."""
            check_conf(get_current_context())
            return infrastructure.read_infrastructure(aws_client("cloudformation")).model_dump()

        @task
        def read_live() -> dict[str, Any]:
            """Find out what serves now, what served well, and how it scales."""
            return known_good.look(
                project,
                aws_client("sagemaker"),
                aws_client("lambda"),
                aws_client("application-autoscaling"),
            )

        @task
        def list_versions() -> list[str]:
            """List the versions that have passed their smoke test, the newest first."""
            serving = RunResults()["read_live"]["serving"] or {}
            found = registry.packages(project, aws_client("sagemaker"))
            labels = [releases.label(package) for package in releases.versions(serving.get("model"), found)]
            record(get_current_context(), f"{len(labels)} versions can become live again.", *labels)
            return labels

        @task(trigger_rule=TriggerRule.NONE_FAILED)
        def choose_version() -> dict[str, Any]:
            """Look up the version that the form or the answer names."""
            done, sagemaker = RunResults(), aws_client("sagemaker")
            answer, serving = done["ask_for_version"], done["read_live"]["serving"]
            wanted = answer["chosen_options"][0] if answer else done.context["params"]["version"]
            package = releases.choose(wanted, serving["model"], registry.packages(project, sagemaker))
            function_version = releases.usable_function_version(
                project,
                package.properties.get("function_version"),
                serving["function_version"],
                aws_client("lambda"),
            )
            record(done.context, f"{releases.described(package)} replaces {serving['model']}.")
            return {
                "arn": package.arn,
                "version": package.version,
                "model": job_requests.registered_model(
                    project,
                    done["preflight"]["sagemaker_role"],
                    package.model,
                    package.container,
                    package.properties["inputs"],
                ),
                "function_version": function_version,
            }

        @task
        def suspend_scaling() -> scaling.Scaling | None:
            """Keep the number of instances while the endpoint is updated."""
            done, sagemaker = RunResults(), aws_client("sagemaker")
            found = scaling.suspend(
                project, done["create_endpoint_config"], sagemaker, aws_client("application-autoscaling")
            )
            # An earlier try of this task may have deregistered it.
            return found or done["read_live"]["scaling"]

        @task
        def resume_scaling() -> None:
            """Let the endpoint scale as it did before the update."""
            scaling.resume(project, RunResults()["suspend_scaling"], aws_client("application-autoscaling"))

        @task
        def invoke_version() -> dict[str, Any]:
            """Invoke the function's version with a test image: code that can't start must not reach callers."""
            chosen = RunResults()["choose_version"]
            expected = releases.expected_of(registry.describe(chosen["arn"], aws_client("sagemaker")))
            return smoke_test.invoke_version(
                project,
                chosen["function_version"],
                expected.data,
                expected.model,
                aws_client("s3"),
                aws_client("lambda"),
            )

        def outcome(done: RunResults) -> str:
            left = done["read_live"]["serving"]["model"]
            return f"Version {done['choose_version']['version']} is live again, in place of {left}."

        @task(task_id="smoke_test")
        def run_smoke_test() -> dict[str, Any]:
            """Ask the function about unseen images, check its answers, and reject the version that served before."""
            done, sagemaker, functions = RunResults(), aws_client("sagemaker"), aws_client("lambda")
            chosen, before = done["choose_version"], done["read_live"]["serving"]
            package = registry.describe(chosen["arn"], sagemaker)
            found = smoke_test.run_smoke_test(
                project, releases.expected_of(package), aws_client("s3"), functions
            )
            record(done.context, f"{outcome(done)} {smoke_test.verdict(found, package.model)}")
            # Here and not in a later task: a run that somebody ends in between must not be undone by the next one.
            serving = live.read_live(project, sagemaker, functions)
            if serving and serving["model"] == package.model:
                known_good.note(project, serving, sagemaker)
            left = registry.find(before["model"], registry.packages(project, sagemaker))
            if left is not None:
                reason = f"{outcome(done)} Run {done.context['run_id']}."
                registry.decide(left.arn, "Rejected", reason, sagemaker)
            return found

        def check_release(context: Context) -> None:
            """Refuse to go back once another release has passed: a cleared task runs without those before it."""
            done = RunResults(context)
            reason = known_good.superseded(
                project,
                done["read_live"]["good"],
                done["choose_version"]["model"]["ModelName"],
                aws_client("sagemaker"),
                aws_client("lambda"),
            )
            if reason:
                raise releases.ReleaseError(reason)

        @task(trigger_rule=TriggerRule.ONE_FAILED)
        def undo() -> str:
            """Go back to the last good release, if the chosen version does not serve."""
            done, sagemaker, functions = RunResults(), aws_client("sagemaker"), aws_client("lambda")
            if done["choose_version"] is None:
                skip(
                    done.context, "The run failed before anything was released; what is live was not changed."
                )
            autoscaling, before = aws_client("application-autoscaling"), done["read_live"]
            good = known_good.read(project, sagemaker, functions) or before["serving"]
            state = rollback.roll_back(
                project,
                good,
                known_good.scaling_of(project, before, done["suspend_scaling"], good, autoscaling),
                sagemaker,
                functions,
                autoscaling,
            )
            cause = rollback.cause(failures(done.context))
            record(done.context, f"{state} {cause}")
            return f"{cause} {state}"

        @task(task_id="report")
        def write_report() -> dict[str, Any]:
            """Put the run's report to S3."""
            done = RunResults()
            check_release(done.context)
            context, chosen = done.context, done["choose_version"]
            bucket, s3, sagemaker = done["preflight"]["bucket"], aws_client("s3"), aws_client("sagemaker")
            summary = report.summarize_rollback(
                project,
                run_of(context),
                live=live_version.read(project, sagemaker, aws_client("lambda")),
                outcome=outcome(done),
                model=chosen["model"]["ModelName"],
                smoke_test=SmokeTestResult.model_validate(done["smoke_test"]),
                data=releases.expected_of(registry.describe(chosen["arn"], sagemaker)).data,
            )
            page = report.publish(project, summary, bucket, s3)
            RunReportLink.persist_page(context, page)
            return {**summary.model_dump(mode="json"), "report": page}

        versions = list_versions()
        ask = AskOperator(
            task_id="ask_for_version",
            subject=f"Which version of {project.name} should become live again?",
            body=lambda context, jinja_env: (
                f"Live now: {RunResults(context)['read_live']['serving']['model']}."
            ),
            options=lambda context: RunResults(context)["list_versions"],
            response_timeout=timedelta(hours=project.approval.timeout_hours),
            skip=lambda context: "The form names a version." if context["params"]["version"] else None,
            notifiers=alerts.on_question(project),
        )
        chosen = choose_version()
        with task_group(
            "deploy", "Deploy the endpoint", "Model, endpoint configuration, endpoint and scaling"
        ):
            create_model = SageMakerModelIfAbsentOperator(
                task_id="create_model",
                config=chosen_value("model"),
            )
            create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
                task_id="create_endpoint_config",
                config=lambda context, jinja_env: job_requests.endpoint_config(
                    project, RunResults(context)["preflight"]["bucket"], RunResults(context)["create_model"]
                ),
            )
            suspended = suspend_scaling()
            deploy_endpoint = SageMakerDeployEndpointOperator(
                task_id="deploy_endpoint",
                # All at once, and whatever the alarms say: what serves now is what has to go.
                config=lambda context, jinja_env: job_requests.endpoint(
                    project, RunResults(context)["create_endpoint_config"]
                ),
                poll_interval=project.poll_seconds,
                deferrable=True,
                pre_execute=check_release,
            )
            resumed = resume_scaling()
        with task_group("function", "Switch the function", "Invoke the version, and move the alias to it"):
            invoked = invoke_version()
            move_alias = LambdaAliasOperator(
                task_id="move_alias",
                function_name=names.function_name(project),
                alias=names.ALIAS,
                function_version=chosen_value("function_version"),
                pre_execute=check_release,
                poll_interval=min(project.poll_seconds, 10),
                deferrable=True,
            )
        release: list[Any] = [
            create_model,
            create_endpoint_config,
            suspended,
            deploy_endpoint,
            resumed,
            invoked,
            move_alias,
            run_smoke_test(),
        ]
        chain(preflight(), read_live(), versions, ask, chosen, *release, RunReportLink.add_to(write_report()))
        release >> undo()
    return dag


errors = add_dags(globals(), "rollback", build)
