"""``<project>.train_and_deploy``: from labelled images to a served, scaled and tested model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    Context,
    CronTriggerTimetable,
    Param,
    TaskGroup,
    TriggerRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowSkipException
from amazon_ml.links.s3 import DataReportLink, EvaluationReportLink, RunReportLink, S3PageLink
from amazon_ml.notifications.failures import failures
from amazon_ml.notifications.sns import RunFailureNotifier, StackTopicNotifier
from amazon_ml.operators.application_autoscaling import (
    ApplicationAutoScalingSuspendOperator,
    ApplicationAutoScalingTargetTrackingOperator,
)
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.operators.lambda_function import (
    LambdaAliasOperator,
    LambdaDeployFunctionOperator,
    LambdaFunctionUrlOperator,
    LambdaProvisionedConcurrencyOperator,
    LambdaReservedConcurrencyOperator,
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
from amazon_ml.operators.sagemaker_registry import SageMakerRegisterModelPackageOperator
from amazon_ml.triggers.s3 import S3ContentChangedTrigger
from dag_defaults import aws_client, default_args
from human_input.operators import AskOperator

from include.pipeline import (
    alarms,
    approval,
    cost,
    ec2_launch,
    ec2_requests,
    gate,
    infrastructure,
    job_requests,
    live,
    names,
    notify,
    packages,
    pretrained,
    registry,
    releases,
    report,
    rollback,
    smoke_test,
    staging,
)
from include.pipeline.dataset import DatasetError
from include.pipeline.ec2_records import Ec2Records
from include.pipeline.settings import Project, read_projects

UNCHANGED = "Nothing has changed since the live model was made; it stays."


class Done:
    """What the tasks of a run have returned so far: ``done["train"]["artifact"]``."""

    def __init__(self, context: Context | None = None) -> None:
        self.context = context or get_current_context()

    def __getitem__(self, task_id: str) -> Any:
        return self.context["ti"].xcom_pull(task_ids=task_id)

    @property
    def trained(self) -> Any:
        """What the training has returned, wherever it was."""
        return self["train"] or self["train_on_ec2"]

    def ec2_records(self, project: Project) -> Ec2Records | None:
        """Those of trainings on EC2, where this run trains there."""
        if self.context["params"]["train_on"] != "ec2":
            return None
        return Ec2Records(project, self.environment.bucket, aws_client("s3"))

    @property
    def environment(self) -> job_requests.Environment:
        return job_requests.Environment.model_validate(self["preflight"])

    @property
    def salt(self) -> str:
        """Sets this run's jobs apart from those of earlier runs, where the form asks for it."""
        return self.context["run_id"] if self.context["params"]["retrain"] else ""

    @property
    def address(self) -> str:
        """The page of this run in Airflow."""
        return unquote(self.context["ti"].log_url.partition("/tasks/")[0])

    def model(self, project: Project) -> dict[str, Any]:
        """The request that makes a model of what was trained."""
        return job_requests.model(
            project, self.environment, self.trained["artifact"], inputs=self["check_for_changes"]
        )

    def reason_not_to_ask(self, project: Project) -> str | None:
        """Why nobody's approval is needed, or None where it is."""
        if not self.context["params"]["require_approval"]:
            return "Neither the project nor this run asks for a person's approval."
        serving = self["read_live"]["serving"]
        if serving and serving["model"] == self.model(project)["ModelName"]:
            return "The candidate is the model that is live already."
        return None

    def read_live(self, project: Project) -> dict[str, Any] | None:
        """What serves at this moment."""
        return live.read_live(project, aws_client("sagemaker"), aws_client("lambda"))

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

    def training(self, project: Project) -> dict[str, Any]:
        """What a training is asked for with, wherever it is."""
        int8 = project.classifier.int8_max_accuracy_drop is not None
        return {
            "channels": self.channels(project, images=int8),
            "code": self["package_code"]["uri"],
            "best": self["tune"]["hyperparameters"],
            "salt": self.salt,
        }


def _config(build: Callable[[Done], Any]) -> Any:
    """What is built when its task runs, such as a request; Airflow shows it among the task's rendered templates."""
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


def _topic(project: Project) -> dict[str, Any]:
    """Where a notifier finds its topic, when it has something to tell."""
    return {
        "target_arn": project.notify.topic_arn,
        "stack_name": infrastructure.stack_name(),
        "output_key": infrastructure.TOPIC_OUTPUT,
    }


def _on_failure(project: Project) -> RunFailureNotifier:
    """Tells of a failed run, once all its tasks have ended, the rollback too."""
    return RunFailureNotifier(
        subject=notify.failure_subject(project),
        compose=lambda run_id, failed: notify.failure_message(
            project, f"{project.name}.train_and_deploy", run_id, failed, aws_client("sagemaker")
        ),
        **_topic(project),
    )


def _deadline(project: Project) -> DeadlineAlert | None:
    """Tells of a run that takes too long, where the project says how long that is."""
    if project.deadline_minutes is None:
        return None
    message = {"subject": notify.deadline_subject(project), "message": notify.deadline_message(project)}
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=project.deadline_minutes),
        callback=AsyncCallback(StackTopicNotifier, kwargs={**message, **_topic(project)}),
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
        },
        default_args=default_args(project.owner),
        on_failure_callback=_on_failure(project),
        deadline=_deadline(project),
    ) as dag:

        @task
        def preflight() -> dict[str, Any]:
            """See that AWS answers and the infrastructure is there, and look up the container images."""
            from include.pipeline.images import container_images

            params = get_current_context()["params"]
            project.check_place(params["train_on"], params["instance_count"])
            sts = aws_client("sts")
            region = sts.meta.region_name
            found = infrastructure.read_infrastructure(aws_client("cloudformation"))
            environment = job_requests.Environment(
                **found.model_dump(),
                region=region,
                account=sts.get_caller_identity()["Account"],
                images=container_images(project, region),
            )
            if params["train_on"] == "ec2":
                ec2_requests.check_profile(environment)
            return environment.model_dump()

        @task
        def estimate_cost() -> dict[str, Any]:
            """Tell what the run may cost, and what it leaves running; end it where that is too much."""
            done = Done()
            estimated = cost.estimate(
                project,
                done.context["params"]["instance_count"],
                done.environment.region,
                aws_client("sagemaker"),
                done.ec2_records(project),
            )
            print(cost.show(estimated))
            cost.check_limit(project, estimated)
            return estimated

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
            return packages.upload_classifier(project, Done().environment.bucket, aws_client("s3"))

        @task
        def read_live() -> dict[str, Any]:
            """Find out what serves now: the champion, and where a rollback goes."""
            return {
                "serving": Done().read_live(project),
                "scaling": live.read_scaling(project, aws_client("application-autoscaling")),
            }

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
            return pretrained.stage_weights(project, Done().environment.bucket, aws_client("s3"))

        @task.branch
        def choose_place() -> str:
            """Train on SageMaker, or on EC2, as the form says."""
            on_ec2 = get_current_context()["params"]["train_on"] == "ec2"
            return "prepare_ec2" if on_ec2 else "train"

        @task
        def prepare_ec2() -> dict[str, Any]:
            """Look up the newest Deep Learning AMI, and find or make the security group."""
            return ec2_launch.find(project, aws_client("ec2"), aws_client("ssm")).model_dump()

        @task
        def compare() -> dict[str, Any]:
            """Let the candidate pass only if it keeps to every rule of the project's gate."""
            done, sagemaker = Done(), aws_client("sagemaker")
            package, run_type = done["register"], done.context["dag_run"].run_type
            evaluation = gate.read_evaluation(done["evaluate"]["output"], aws_client("s3"))
            decision, evaluation = gate.decide(evaluation, project.gate), gate.without_details(evaluation)
            if stays_rejected := registry.rejected_before(run_type, package):
                decision = gate.Decision(False, stays_rejected)
            else:
                ask = done.reason_not_to_ask(project) is None
                registry.judge(package, decision, ask, sagemaker)
            done.context["ti"].xcom_push(key="decision", value=decision.reason)
            done.context["ti"].xcom_push(key="evaluation", value=evaluation)
            print(decision.reason)
            if not decision.accepted:
                raise AirflowSkipException(decision.reason)
            return evaluation

        # It runs where nobody was asked, and where the gate let nothing pass it is skipped as that was.
        @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
        def record_approval() -> str:
            """Note who approved or rejected the candidate; a rejected one goes no further."""
            done = Done()
            answer = approval.read_answer(done["approve"], project.approval)
            if answer is None:
                return "Nobody had to be asked."
            decision = done.context["ti"].xcom_pull(task_ids="gate", key="decision")
            status = "Approved" if answer.approved else "Rejected"
            registry.decide(
                done["register"]["arn"], status, f"{answer.sentence} {decision}", aws_client("sagemaker")
            )
            done.context["ti"].xcom_push(key="answer", value=answer.sentence)
            if not answer.approved:
                raise AirflowSkipException(answer.sentence)
            return answer.sentence

        def link_evaluation(context: Context, result: Any) -> None:
            """Link the task to the page that its job wrote."""
            EvaluationReportLink.persist_page(context, report.evaluation_page(result), aws_client("s3"))

        @task
        def put_alarms() -> list[str]:
            """Watch the endpoint for errors and slowness."""
            return alarms.put_alarms(project, aws_client("cloudwatch"), Done().environment.topic)

        @task(task_id="smoke_test", retries=0)
        def run_smoke_test() -> dict[str, Any]:
            """Ask the function about images that the model has not seen, and check its answers."""
            done = Done()
            expected = smoke_test.Expected(
                data=done["stage_data"]["uri"],
                model=done["create_model"],
                accuracy_interval=done["gate"]["candidate"]["accuracy_interval"],
            )
            return smoke_test.run_smoke_test(project, expected, aws_client("s3"), aws_client("lambda"))

        @task(task_id="rollback", trigger_rule=TriggerRule.ONE_FAILED)
        def roll_back() -> str:
            """Go back to what served before, if any step of the release failed, and prove that it serves."""
            done, sagemaker, functions = Done(), aws_client("sagemaker"), aws_client("lambda")
            if done["record_approval"] is None:
                raise AirflowSkipException(
                    "The run failed before anything was released; what is live was not touched."
                )
            before, package = done["read_live"]["serving"], done["register"]
            cause = rollback.cause(failures(done.context))
            print(cause)
            # First, so that it counts even if the way back fails.
            if before is None or before["model"] != done.model(project)["ModelName"]:
                registry.decide(package["arn"], "Rejected", cause, sagemaker)
            state = rollback.roll_back(
                project,
                before,
                done["read_live"]["scaling"],
                sagemaker,
                functions,
                aws_client("application-autoscaling"),
            )
            if before is not None:
                expected = releases.expected_before(
                    before, registry.packages(project, sagemaker), done["stage_data"]["uri"], done["gate"]
                )
                smoke_test.run_smoke_test(project, expected, aws_client("s3"), functions)
                state += " It has passed the smoke test."
            return f"{cause} {state}"

        # Also after a run that released nothing: each one registers a candidate.
        @task(trigger_rule=TriggerRule.NONE_FAILED)
        def clean_up() -> dict[str, Any]:
            """Note that the release is good, and delete what neither serves nor is needed for a rollback."""
            done, sagemaker = Done(), aws_client("sagemaker")
            serving, deleted = done.read_live(project), []
            if done["smoke_test"] and serving:
                registry.mark_released(done["register"]["arn"], serving["function_version"], sagemaker)
                deleted = releases.delete_superseded(
                    project,
                    serving,
                    done["read_live"]["serving"],
                    registry.packages(project, sagemaker),
                    sagemaker,
                )
            model = serving["model"] if serving else None
            return {"deleted": deleted, "pruned_versions": registry.prune(project, model, sagemaker)}

        @task(task_id="report", trigger_rule=TriggerRule.NONE_FAILED)
        def write_report() -> dict[str, Any]:
            """Put the run's report to S3."""
            done, s3 = Done(), aws_client("s3")
            judged = {
                key: done.context["ti"].xcom_pull(task_ids="gate", key=key)
                for key in ("decision", "evaluation")
            }
            answer = done.context["ti"].xcom_pull(task_ids="record_approval", key="answer")
            steps = (step for step in cost.KINDS if step in done.context["dag"].task_ids)
            jobs = {step: (done[step] or {}).get("name") for step in steps}
            jobs["train"] = (done.trained or {}).get("name")
            summary = report.summarise(
                project,
                data=done["stage_data"],
                training=done.trained,
                tuning=done["tune"],
                evaluation=judged["evaluation"],
                evaluation_page=report.evaluation_page(done["evaluate"]),
                warnings=report.read_warnings(done.trained, s3),
                smoke_test=done["smoke_test"],
                package=done["register"],
                outcome=" ".join(filter(None, [judged["decision"], answer])) or UNCHANGED,
                cost={
                    "estimate": done["estimate_cost"],
                    # not the run's start, which is another after the run was cleared
                    "actual": cost.actual(
                        project,
                        jobs,
                        done.context["dag_run"].run_after,
                        aws_client("sagemaker"),
                        done.ec2_records(project),
                    ),
                },
            )
            page = report.publish(project, summary, done.context["run_id"], done.environment.bucket, s3)
            RunReportLink.persist_page(done.context, page, s3)
            return {**summary, "report": page}

        scalable: dict[str, Any] = {
            "service_namespace": "sagemaker",
            "resource_id": names.scaling_resource_id(project),
            "scalable_dimension": names.SCALABLE_DIMENSION,
        }
        job_arguments: dict[str, Any] = {"poll_interval": project.poll_seconds, "deferrable": True}
        ready, estimated = preflight(), estimate_cost()
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
                        instance_count=done.context["params"]["instance_count"],
                        **done.training(project),
                    )
                ),
                **job_arguments,
            )
            place, prepared = choose_place(), prepare_ec2()
            train_on_ec2 = EC2TrainingOperator(
                task_id="train_on_ec2",
                config=_config(
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
            evaluate = _linked(
                SageMakerResumableProcessingOperator(
                    task_id="evaluate",
                    config=_config(
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
                    post_execute=link_evaluation,
                    # One of the two trainings is skipped.
                    trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
                    **job_arguments,
                ),
                EvaluationReportLink(),
            )
        with TaskGroup("decide", prefix_group_id=False, tooltip="Register, compare with the live model, ask"):
            register = SageMakerRegisterModelPackageOperator(
                task_id="register",
                package_group_name=names.model_package_group(project),
                key=_config(lambda done: done.model(project)["ModelName"]),
                image_uri=_config(lambda done: done.model(project)["PrimaryContainer"]["Image"]),
                model_url=_config(lambda done: done.model(project)["PrimaryContainer"]["ModelDataUrl"]),
                environment=_config(lambda done: done.model(project)["PrimaryContainer"]["Environment"]),
                content_types=job_requests.CONTENT_TYPES,
                response_types=job_requests.RESPONSE_TYPES,
                model_metrics_uri="{{ ti.xcom_pull(task_ids='evaluate')['output'] }}/evaluation.json",
                customer_metadata=_config(
                    lambda done: registry.candidate(
                        gate.read_evaluation(done["evaluate"]["output"], aws_client("s3")),
                        data=done["stage_data"],
                        code=done["package_code"]["sha256"],
                        inputs=done["check_for_changes"],
                        training_job=done.trained["name"],
                        run=done.address,
                    )
                ),
                package_desc=project.description,
                package_group_desc=project.description,
                tags=names.tag_list(project),
            )
            passed = compare.override(task_id="gate")()
            approve = AskOperator(
                task_id="approve",
                subject=f"Shall the new model of {project.name} go live?",
                body=_config(
                    lambda done: approval.question(
                        done["gate"],
                        done.context["ti"].xcom_pull(task_ids="gate", key="decision"),
                        EvaluationReportLink().format_link(
                            **done.context["ti"].xcom_pull(task_ids="evaluate", key=EvaluationReportLink.key)
                        ),
                    )
                ),
                options=[approval.APPROVE, approval.REJECT],
                defaults=approval.REJECT,
                response_timeout=timedelta(hours=project.approval.timeout_hours),
                skip=lambda context: Done(context).reason_not_to_ask(project),
            )
            approved = record_approval()
        with TaskGroup("deploy", prefix_group_id=False, tooltip="Model, endpoint, scaling"):
            create_model = SageMakerModelIfAbsentOperator(
                task_id="create_model", config=_config(lambda done: done.model(project))
            )
            create_endpoint_config = SageMakerEndpointConfigIfAbsentOperator(
                task_id="create_endpoint_config",
                config=_config(
                    lambda done: job_requests.endpoint_config(
                        project, done.environment.bucket, done["create_model"]
                    )
                ),
            )
            alarmed = put_alarms()
            # An instance that is added or taken away in the middle of an update is in its way.
            suspend_scaling = ApplicationAutoScalingSuspendOperator(
                task_id="suspend_scaling", if_registered=True, **scalable
            )
            deploy_endpoint = SageMakerDeployEndpointOperator(
                task_id="deploy_endpoint",
                config=_config(lambda done: job_requests.endpoint(project, done["create_endpoint_config"])),
                deployment_config=_config(lambda done: job_requests.deployment(project, done["put_alarms"])),
                **job_arguments,
            )
            scale_endpoint = ApplicationAutoScalingTargetTrackingOperator(
                task_id="scale_endpoint",
                **scalable,
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
            resume_scaling = ApplicationAutoScalingSuspendOperator(
                task_id="resume_scaling", suspend=False, **scalable
            )
        with TaskGroup("function", prefix_group_id=False, tooltip="Code, version, alias, warm environments"):
            deploy_function = LambdaDeployFunctionOperator(
                task_id="deploy_function",
                function_name=names.function_name(project),
                config=_config(lambda done: job_requests.function(project, done.environment)),
                zip_file=lambda: packages.function_package().content,
                description="Serves {{ ti.xcom_pull(task_ids='create_model') }}",
            )
            reserve_concurrency = LambdaReservedConcurrencyOperator(
                task_id="reserve_concurrency",
                function_name=names.function_name(project),
                reserved_concurrent_executions=project.function.reserved_concurrency,
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
            function_url = LambdaFunctionUrlOperator(
                task_id="function_url",
                function_name=names.function_name(project),
                qualifier=names.ALIAS,
                auth_type="AWS_IAM" if project.function.url else None,
            )
        tested, rolled_back, cleaned_up, reported = (
            run_smoke_test(),
            roll_back(),
            clean_up(),
            _linked(write_report(), RunReportLink()),
        )

        release = [
            create_model,
            create_endpoint_config,
            alarmed,
            suspend_scaling,
            deploy_endpoint,
            scale_endpoint,
            resume_scaling,
            deploy_function,
            reserve_concurrency,
            move_alias,
            provision_concurrency,
            function_url,
            tested,
        ]
        decide = [register, passed, approve, approved]
        chain(ready, estimated, staged, changes, weights, *features, tune, place, [train, prepared])
        prepared >> train_on_ec2
        chain([train, train_on_ec2], evaluate, *decide, *release, cleaned_up, reported)
        # Else it could not tell that nobody had to be asked from that there was nothing to ask about.
        passed >> approved
        release >> rolled_back
    return dag


for _project in read_projects()[0]:
    globals()[f"{_project.name}_train_and_deploy"] = build(_project)
