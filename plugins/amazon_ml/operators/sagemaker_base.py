"""Base classes of the SageMaker operators that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, conf
from botocore.exceptions import ClientError

from amazon_ml.operators.lost_trigger import RestartOnLostTriggerOperator, deferral_timeout
from amazon_ml.triggers.sagemaker import SageMakerStatusTrigger, StatusEvent
from include.aws.documents import AwsAnswer, AwsRequest, RequestArgument

if TYPE_CHECKING:
    from airflow.sdk import Context


# The messages of a ValidationException for a resource that does not exist: training jobs; processing jobs, models and
# endpoints; notebook instances; lifecycle configurations.
MISSING = ("Requested resource not found", "Could not find", "RecordNotFound", "Config does not exist")


def is_missing(error: ClientError) -> bool:
    """Return whether the error means that the resource does not exist; SageMaker has no single error code for that."""
    code = error.response["Error"]["Code"]
    return code in ("ResourceNotFound", "ResourceNotFoundException") or (
        code == "ValidationException" and any(sign in str(error) for sign in MISSING)
    )


def describe_if_exists(describe: Callable[..., AwsAnswer], request: AwsRequest) -> AwsAnswer | None:
    """Return the description of a resource; None if it does not exist."""
    try:
        return describe(**request)
    except ClientError as error:
        if is_missing(error):
            return None
        raise


# The messages for a role that was created, or received its policies, a moment ago.
ROLE_NOT_PROPAGATED = ("Could not assume role", "Access denied")
PROPAGATION_SECONDS = 120.0
PROPAGATION_PAUSE_SECONDS = 5.0


def call_until_propagated(log: Any, call: Callable[..., Any], request: AwsRequest, *signs: str) -> Any:
    """
    Call AWS, and retry for two minutes while a new resource has not propagated yet.

    :param call: The method of a boto3 client.
    :param request: The parameters of the call.
    :param signs: Parts of the error messages to retry.
    :raises ClientError: Any other error immediately, and such an error after two minutes.
    """
    deadline = time.monotonic() + PROPAGATION_SECONDS
    while True:
        try:
            return call(**request)
        except ClientError as error:
            is_early = error.response["Error"]["Code"] == "ValidationException" and any(
                sign in str(error) for sign in signs
            )
            if not is_early or time.monotonic() >= deadline:
                raise
            log.info("Retrying, since a new resource may not have propagated yet: %s", error)
        time.sleep(PROPAGATION_PAUSE_SECONDS)


class SageMakerBaseRequestOperator(AwsBaseOperator[SageMakerHook]):
    """
    Send a request to SageMaker.

    :param config: The request, in the format of boto3 (templated).
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    def __init__(self, *, config: RequestArgument, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request after rendering


class SageMakerBaseWaitingOperator(RestartOnLostTriggerOperator, SageMakerBaseRequestOperator):
    """
    Wait for a SageMaker resource, in the triggerer or in the worker.

    The caller chooses the names. A retry describes the resource by its name and finds what the previous try started,
    even if the worker of that try was killed. Airflow does not have to store anything (as ``ResumableJobMixin`` does).

    :param config: The request, in the format of boto3 (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    """

    describe_method: str
    stop_method: str | None = None
    name_key: str
    status_key: str
    pending_states: tuple[str, ...]

    def __init__(
        self,
        *,
        poll_interval: float = 30,
        max_wait: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.poll_interval = poll_interval
        self.max_wait = max_wait
        self.deferrable = deferrable
        self.name: str | None = None

    def describe(self, name: str) -> AwsAnswer | None:
        """Describe the resource; None if it does not exist."""
        return describe_if_exists(getattr(self.hook.conn, self.describe_method), {self.name_key: name})

    def wait(
        self,
        name: str,
        *,
        since: datetime | None = None,
        method_name: str = "execute_complete",
        context: Context | None = None,
    ) -> Any:
        """
        Wait until the state is final, then evaluate it.

        :param since: When ``max_wait`` starts; now by default.
        :param method_name: The method that continues, with the context and the trigger's event.
        :param context: The context, if that method needs it.
        """
        self.name = name
        deadline = self.deadline(since)
        trigger = SageMakerStatusTrigger(
            describe=self.describe_method,
            describe_args={self.name_key: name},
            status_key=self.status_key,
            pending_states=list(self.pending_states),
            stop=self.stop_method,
            poll_interval=self.poll_interval,
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            botocore_config=self.botocore_config,
            deadline=deadline,
            **self.log_arguments(name),
        )
        if self.deferrable:
            self.defer(trigger=trigger, method_name=method_name, timeout=deferral_timeout(deadline))
        return getattr(self, method_name)(context or {}, asyncio.run(trigger.wait()))

    def deadline(self, since: datetime | None) -> float | None:
        """
        Return when to time out, in seconds since the epoch; None for never.

        Airflow does not enforce ``execution_timeout`` while a task is deferred (apache/airflow#69678, proposed fix
        apache/airflow#69734), so it is applied here.
        """
        deadlines = []
        if self.max_wait is not None:
            limit = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
            deadlines.append((since.timestamp() if since else time.time()) + limit)
        if self.deferrable and self.execution_timeout is not None:
            deadlines.append(time.time() + self.execution_timeout.total_seconds())
        return min(deadlines, default=None)

    def log_arguments(self, name: str) -> dict[str, str]:
        """Return the location of the resource's log: ``log_group`` and ``log_stream_prefix``; empty for no log."""
        return {}

    def execute_complete(self, context: Context, event: StatusEvent) -> Any:
        """Evaluate the final state when the trigger has fired."""
        self.check_event(event)
        return self.evaluate(event["name"])

    def check_event(self, event: StatusEvent) -> None:
        """
        Raise an exception if the wait ended before the state was final.

        :raises AirflowException: If AWS could not be reached, or the wait timed out.
        """
        if event["status"] == "error":
            raise AirflowException(event["message"])
        if event["status"] == "timeout":
            self.give_up(event["name"])

    def give_up(self, name: str) -> None:
        """
        Fail the task after a timeout.

        :raises AirflowException: Always.
        """
        raise AirflowException(f"{name} has no final state yet, and the task timed out.")

    def evaluate(self, name: str) -> Any:
        """Return the result of a successful end; raise an exception for any other end."""
        raise NotImplementedError

    def stop(self, name: str) -> None:
        """Stop the remote job, if it can be stopped."""
        if self.stop_method is None:
            return
        self.log.info("Stopping %s.", name)
        try:
            getattr(self.hook.conn, self.stop_method)(**{self.name_key: name})
        except ClientError as error:
            # it has ended in the meantime, or is already being stopped
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            self.log.info("%s does not need to be stopped: %s", name, error)


class SageMakerReconcileOperator(SageMakerBaseWaitingOperator):
    """
    Bring a long-lived resource, such as an endpoint, to its desired state, step by step.

    Each step depends only on the description that SageMaker returns. It therefore makes no difference whether this
    task, an earlier try or another user did the previous step, or in which process.

    :param config: The request; the member ``name_key`` names the resource (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds; None for no limit.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    """

    phrase: str

    def begin(self, context: Context) -> Any:
        """Do the first step."""
        return self.reconcile(context)

    def reconcile(self, context: Context) -> Any:
        """Describe the resource and do the next step."""
        raise NotImplementedError

    def execute_next(self, context: Context, event: StatusEvent) -> Any:
        """Continue when a change that was in progress has ended."""
        self.check_event(event)
        return self.reconcile(context)

    def wait_for_change(self, context: Context, then: str) -> Any:
        """Wait until no change is in progress, then continue with the method of this name."""
        return self.wait(
            self.config[self.name_key], since=self._since(context), method_name=then, context=context
        )

    def pause(self, context: Context, deadline: float | None) -> None:
        """Wait a moment, since another change has started since the resource was described."""
        if deadline is not None and time.time() >= deadline:
            self.give_up(self.config[self.name_key])
        time.sleep(self.poll_interval)

    def check_event(self, event: StatusEvent) -> None:
        """
        Raise an exception if the wait ended early, unless the change has ended since or the resource was deleted.

        :raises AirflowException: If AWS could not be reached, or the wait timed out.
        """
        if event["status"] in ("error", "timeout"):
            description = self.describe(event["name"])
            if description is None or description[self.status_key] not in self.pending_states:
                return
        super().check_event(event)

    def give_up(self, name: str) -> NoReturn:
        """
        Fail the task after a timeout. The change in AWS continues.

        :raises AirflowException: Always.
        """
        description = self.describe(name)
        status = description[self.status_key] if description else "not found"
        raise AirflowException(
            f"{self.phrase.capitalize()} {name} is still {status}, and the task timed out."
        )

    @staticmethod
    def _since(context: Context) -> datetime | None:
        """Return when this try started. Airflow keeps this across a deferral, but not the operator's fields."""
        instance = context.get("ti")
        return instance.start_date if instance else None


def reason(description: AwsAnswer) -> str:
    """Return the reason for a failure, as SageMaker reports it."""
    return description.get("FailureReason") or "SageMaker gives no reason."
