"""``<project>.train_and_deploy``: from labelled images to a served, scaled and tested model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    Context,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    TaskGroup,
    TriggerRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException
from amazon_ml.links.s3 import DataReportLink, EvaluationReportLink, RunReportLink, S3PageLink
from amazon_ml.operators.application_autoscaling import ApplicationAutoScalingTargetTrackingOperator
from amazon_ml.operators.lambda_function import (
    LambdaAliasOperator,
    LambdaDeployFunctionOperator,
    LambdaProvisionedConcurrencyOperator,
)
from amazon_ml.operators.sagemaker_endpoint import (
    SageMakerDeployEndpointOperator,
    SageMakerEndpointConfigIfAbsentOperator,
    SageMakerModelIfAbsentOperator,
)
from amazon_ml.operators.sagemaker_jobs import (
    SageMakerResumableProcessingOperator,
    SageMakerResumableTrainingOperator,
    SageMakerResumableTuningOperator,
)
from amazon_ml.triggers.s3 import S3ContentChangedTrigger

from include.pipeline import (
    alarms,
    gate,
    infrastructure,
    job_requests,
    live,
    names,
    packages,
    pretrained,
    report,
    rollback,
    smoke_test,
    staging,
)
from include.pipeline.dataset import DatasetError
from include.pipeline.settings import Project, read_projects

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[RetryRule(exception="include.pipeline.errors.PermanentError", action=RetryAction.FAIL)]
)


def _client(service: str, config: Any = None) -> Any:
    return AwsBaseHook(client_type=service, config=config).get_conn()


class Done:
    """What the tasks of a run have returned so far: ``done["train"]["artifact"]``."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or get_current_context()

    def __getitem__(self, task_id: str) -> Any:
        return self.context["ti"].xcom_pull(task_ids=task_id)

    @property
    def environment(self) -> job_requests.Environment:
        return job_requests.Environment.model_validate(self["preflight"])

    @property
    def salt(self) -> str:
        """Sets this run's jobs apart from those of earlier runs, where the form asks for it."""
        return self.context["run_id"] if self.context["params"]["retrain"] else ""

    def channels(self, project: Project, *, images: bool = False) -> dict[str, str]:
        """The input channels of tuning and training.

        :param images: whether the images are needed even where features are trained on.
        """
        classifier, channels = project.classifier, {}
        if classifier.frozen:
            channels["features"] = self["features"]["output"]
        if images or not classifier.frozen:
            channels["training"] = self["stage_data"]["uri"]
        if classifier.pretrained:
            channels["pretrained"] = self["stage_weights"]["uri"]
        return channels


def _config(build: Callable[[Done], dict[str, Any]]) -> Callable[[Context, Any], dict[str, Any]]:
    """A request that is built when its task runs; Airflow shows it among the task's rendered templates."""
    return lambda context, jinja_env: build(Done(context))


def _schedule(project: Project) -> list[Asset] | AssetOrTimeSchedule:
    """New images start a run, and so does the clock where the project says so."""
    watchers = []
    if project.data.watch_seconds is not None:
        bucket, key = names.split_s3_uri(project.data.source)
        look = S3ContentChangedTrigger(bucket_name=bucket, key=key, poll_interval=project.data.watch_seconds)
        watchers.append(AssetWatcher(name=names.data_asset(project), trigger=look))
    images = Asset(name=names.data_asset(project), watchers=watchers)
    if project.schedule is None:
        return [images]
    return AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(project.schedule, timezone="UTC"), assets=[images]
    )


def _linked(step: Any, link: S3PageLink) -> Any:
    """Give an operator or a decorated task a link to a page, besides those it has."""
    operator = getattr(step, "operator", step)
    operator.operator_extra_links = (*operator.operator_extra_links, link)
    return step


def build(project: Project) -> DAG:
    """Wire the steps of one project."""
    with DAG(
        dag_id=f"{project.name}.train_and_deploy",
        description=project.description,
        schedule=_schedule(project),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
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
        },
        default_args={
            "owner": project.owner,
            "retries": 2,
            "retry_delay": timedelta(seconds=10),
            "retry_policy": RETRY_POLICY,
        },
    ) as dag:

        @task
        def preflight() -> dict[str, Any]:
            """See that AWS answers and the infrastructure is there, and look up the container images."""
            from include.pipeline.images import container_images

            sts = _client("sts")
            region = sts.meta.region_name
            found = infrastructure.read_infrastructure(_client("cloudformation"))
            environment = job_requests.Environment(
                **found.model_dump(),
                region=region,
                account=sts.get_caller_identity()["Account"],
                images=container_images(project, region),
            )
            return environment.model_dump()

        @task
        def stage_data() -> dict[str, Any]:
            """Check the images and put them to S3."""
            done = Done()
            hook = AwsBaseHook(client_type="s3", config=staging.CLIENT_CONFIG)
            s3, credentials = hook.get_conn(), hook.get_session().get_credentials()
            try:
                staged = staging.stage(
                    project,
                    done.context["params"]["dataset"],
                    done.environment.bucket,
                    s3,
                    credentials=credentials,
                )
            except DatasetError as error:
                DataReportLink.persist_page(done.context, error.report, s3)
                raise
            DataReportLink.persist_page(done.context, staged["report"], s3)
            return staged

        @task
        def package_code() -> dict[str, str]:
            """Put the classifier's code to S3."""
            return packages.upload_classifier(project, Done().environment.bucket, _client("s3"))

        @task
        def read_live() -> dict[str, Any]:
            """Find out what serves now: the champion, and where a rollback goes."""
            return {"serving": live.read_live(project, _client("sagemaker"), _client("lambda"))}

        @task
        def check_for_changes() -> str:
            """End a scheduled run here if the live model was made from the same images, code and settings."""
            done = Done()
            inputs = job_requests.inputs_digest(
                project, done["stage_data"]["fingerprint"], done["package_code"]["sha256"]
            )
            run_type = done.context["dag_run"].run_type
            reason = live.reason_to_stop(run_type, done["read_live"]["serving"], inputs)
            if reason:
                raise AirflowSkipException(reason)
            return inputs

        @task
        def stage_weights() -> dict[str, Any]:
            """Put the pretrained weights to S3."""
            return pretrained.stage_weights(project, Done().environment.bucket, _client("s3"))

        @task
        def compare() -> dict[str, Any]:
            """Let the candidate pass only if it is as good as the model that is live."""
            done = Done()
            evaluation = gate.read_evaluation(done["evaluate"]["output"], _client("s3"))
            decision, evaluation = gate.decide(evaluation, project.gate), gate.without_details(evaluation)
            done.context["ti"].xcom_push(key="decision", value=decision.reason)
            done.context["ti"].xcom_push(key="evaluation", value=evaluation)
            print(decision.reason)
            if not decision.accepted:
                raise AirflowSkipException(decision.reason)
            return evaluation

        def link_evaluation(context: Context, result: Any) -> None:
            """Link the task to the page that its job wrote."""
            EvaluationReportLink.persist_page(context, report.evaluation_page(result), _client("s3"))

        @task
        def put_alarms() -> list[str]:
            """Watch the endpoint for errors and slowness."""
            return alarms.put_alarms(project, _client("cloudwatch"))

        @task(task_id="smoke_test", retries=0)
        def run_smoke_test() -> dict[str, Any]:
            """Ask the function about images that the model has not seen, and check its answers."""
            done = Done()
            return smoke_test.run_smoke_test(
                project,
                data=done["stage_data"]["uri"],
                model=done["create_model"],
                evaluated_accuracy=done["gate"]["candidate"]["accuracy"],
                s3=_client("s3"),
                lambda_client=_client("lambda"),
            )

        @task(task_id="rollback", trigger_rule=TriggerRule.ONE_FAILED)
        def roll_back() -> str:
            """Go back to what served before, if any step of the release failed."""
            done = Done()
            if done["gate"] is None:
                raise AirflowSkipException(
                    "The run failed before anything was released; what is live was not touched."
                )
            return rollback.roll_back(
                project,
                done["read_live"]["serving"],
                _client("sagemaker"),
                _client("lambda"),
                _client("application-autoscaling"),
            )

        @task(task_id="report", trigger_rule=TriggerRule.NONE_FAILED)
        def write_report() -> dict[str, Any]:
            """Put the run's report to S3."""
            done, s3 = Done(), _client("s3")
            judged = {
                key: done.context["ti"].xcom_pull(task_ids="gate", key=key)
                for key in ("decision", "evaluation")
            }
            summary = report.summarise(
                project,
                data=done["stage_data"],
                training=done["train"],
                tuning=done["tune"],
                evaluation=judged["evaluation"],
                evaluation_page=report.evaluation_page(done["evaluate"]),
                warnings=report.read_warnings(done["train"], s3),
                smoke_test=done["smoke_test"],
                outcome=judged["decision"] or "Nothing has changed since the live model was made; it stays.",
            )
            page = report.publish(project, summary, done.context["run_id"], done.environment.bucket, s3)
            RunReportLink.persist_page(done.context, page, s3)
            return {**summary, "report": page}

        job_arguments: dict[str, Any] = {"poll_interval": project.poll_seconds, "deferrable": True}
        ready = preflight()
        with TaskGroup("prepare", prefix_group_id=False, tooltip="Bring images, code and weights to S3"):
            staged = [_linked(stage_data(), DataReportLink()), package_code(), read_live()]
            changes = check_for_changes()
            weights = stage_weights()
        with TaskGroup("learn", prefix_group_id=False, tooltip="Find hyperparameters, train, judge"):
            features = []
            if project.classifier.frozen:  # only then can its features be computed once
                features.append(
                    SageMakerResumableProcessingOperator(
                        task_id="features",
                        config=_config(
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
            tune = SageMakerResumableTuningOperator(
                task_id="tune",
                config=_config(
                    lambda done: job_requests.tuning_job(
                        project,
                        done.environment,
                        channels=done.channels(project),
                        code=done["package_code"]["uri"],
                        salt=done.salt,
                    )
                ),
                **job_arguments,
            )
            train = SageMakerResumableTrainingOperator(
                task_id="train",
                config=_config(
                    lambda done: job_requests.training_job(
                        project,
                        done.environment,
                        channels=done.channels(
                            project, images=project.classifier.int8_max_accuracy_drop is not None
                        ),
                        code=done["package_code"]["uri"],
                        best=done["tune"]["hyperparameters"],
                        instance_count=done.context["params"]["instance_count"],
                        salt=done.salt,
                    )
                ),
                **job_arguments,
            )
            evaluate = _linked(
                SageMakerResumableProcessingOperator(
                    task_id="evaluate",
                    config=_config(
                        lambda done: job_requests.evaluation_job(
                            project,
                            done.environment,
                            data=done["stage_data"]["uri"],
                            code=done["package_code"]["uri"],
                            candidate=done["train"]["artifact"],
                            live=(done["read_live"]["serving"] or {}).get("artifact"),
                            salt=done.salt,
                        )
                    ),
                    post_execute=link_evaluation,
                    **job_arguments,
                ),
                EvaluationReportLink(),
            )
            passed = compare.override(task_id="gate")()
        with TaskGroup("deploy", prefix_group_id=False, tooltip="Model, endpoint, scaling"):
            create_model = SageMakerModelIfAbsentOperator(
                task_id="create_model",
                config=_config(
                    lambda done: job_requests.model(
                        project, done.environment, done["train"]["artifact"], inputs=done["check_for_changes"]
                    )
                ),
            )
            create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
                task_id="create_endpoint_config",
                config=_config(lambda done: job_requests.endpoint_config(project, done["create_model"])),
            )
            alarmed = put_alarms()
            deploy_endpoint = SageMakerDeployEndpointOperator(
                task_id="deploy_endpoint",
                config=_config(lambda done: job_requests.endpoint(project, done["create_endpoint_config"])),
                **job_arguments,
            )
            scale_endpoint = ApplicationAutoScalingTargetTrackingOperator(
                task_id="scale_endpoint",
                service_namespace="sagemaker",
                resource_id=names.scaling_resource_id(project),
                scalable_dimension="sagemaker:variant:DesiredInstanceCount",
                min_capacity=project.endpoint.min_instances,
                max_capacity=project.endpoint.max_instances,
                policy_name=f"{project.aws_name}-invocations",
                target_tracking_configuration={
                    "TargetValue": project.endpoint.target_invocations_per_minute,
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                    },
                    "ScaleInCooldown": project.endpoint.scale_in_cooldown_seconds,
                    "ScaleOutCooldown": project.endpoint.scale_out_cooldown_seconds,
                },
            )
        with TaskGroup("function", prefix_group_id=False, tooltip="Code, version, alias, warm environments"):
            deploy_function = LambdaDeployFunctionOperator(
                task_id="deploy_function",
                function_name=names.function_name(project),
                config=_config(lambda done: job_requests.function(project, done.environment)),
                zip_file=lambda: packages.function_package().content,
                description="Serves {{ ti.xcom_pull(task_ids='create_model') }}",
            )
            move_alias = LambdaAliasOperator(
                task_id="move_alias",
                function_name=names.function_name(project),
                alias=names.ALIAS,
                function_version="{{ ti.xcom_pull(task_ids='deploy_function')['version'] }}",
            )
            provision_concurrency = LambdaProvisionedConcurrencyOperator(
                task_id="provision_concurrency",
                function_name=names.function_name(project),
                qualifier=names.ALIAS,
                provisioned_concurrent_executions=project.function.provisioned_concurrency,
                poll_interval=min(project.poll_seconds, 10),
            )
        tested, rolled_back, reported = (
            run_smoke_test(),
            roll_back(),
            _linked(write_report(), RunReportLink()),
        )

        release = [
            create_model,
            create_endpoint_config,
            alarmed,
            deploy_endpoint,
            scale_endpoint,
            deploy_function,
            move_alias,
            provision_concurrency,
            tested,
        ]
        chain(ready, staged, changes, weights, *features, tune, train, evaluate, passed, *release, reported)
        release >> rolled_back
    return dag


for _project in read_projects()[0]:
    globals()[f"{_project.name}_train_and_deploy"] = build(_project)
