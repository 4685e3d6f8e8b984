"""What the SageMaker operators that wait have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.hooks.sagemaker import SageMakerHook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, conf
from botocore.exceptions import ClientError

from amazon_ml.job_logs import JobLogReader
from amazon_ml.operators.lost_trigger import LookAgainOperator, deferral_timeout
from amazon_ml.outage import Outage
from amazon_ml.triggers.sagemaker import SageMakerStatusTrigger, progress

if TYPE_CHECKING:
    from airflow.sdk import Context


# A request, or what makes it when the task runs: Airflow renders either.
Config = dict[str, Any] | Callable[..., dict[str, Any]]


# How SageMaker says that something does not exist, where its code is only ValidationException: training jobs;
# processing jobs, models and endpoints; notebook instances; lifecycle configurations.
MISSING = ("Requested resource not found", "Could not find", "RecordNotFound", "Config does not exist")


def is_missing(error: ClientError) -> bool:
    """Return whether the error means that the resource does not exist: SageMaker has no single code for that."""
    code = error.response["Error"]["Code"]
    return code in ("ResourceNotFound", "ResourceNotFoundException") or (
        code == "ValidationException" and any(sign in str(error) for sign in MISSING)
    )


# What AWS says of a role that was made, or given its policies, a moment ago.
ROLE_SPREADS = ("Could not assume role", "Access denied")
SPREAD_SECONDS = 120.0
SPREAD_PAUSE_SECONDS = 5.0


def call_once_known(log: Any, call: Callable[..., Any], request: dict[str, Any], *signs: str) -> Any:
    """
    Call AWS, again and again for two minutes where it does not know yet what was made a moment ago.

    :param call: the method of a boto3 client.
    :param request: its parameters.
    :param signs: what is in the message of such a refusal.
    :raises ClientError: any other refusal at once, and such a one when it lasts.
    """
    deadline = time.monotonic() + SPREAD_SECONDS
    while True:
        try:
            return call(**request)
        except ClientError as error:
            is_early = error.response["Error"]["Code"] == "ValidationException" and any(
                sign in str(error) for sign in signs
            )
            if not is_early or time.monotonic() >= deadline:
                raise
            log.info("Trying again, since what was made a moment ago may not be known everywhere: %s", error)
        time.sleep(SPREAD_PAUSE_SECONDS)


class SageMakerBaseWaitingOperator(LookAgainOperator, AwsBaseOperator[SageMakerHook]):
    """
    Wait for something in SageMaker, deferred or not.

    The names are the caller's, so that a retry asks SageMaker for the name and finds what the try before it has
    begun, even if that try's worker was killed: nothing has to be kept in Airflow (as ``ResumableJobMixin`` does).

    :param config: The request, as boto3 takes it (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    """

    aws_hook_class = SageMakerHook
    template_fields: Sequence[str] = aws_template_fields("config")
    template_fields_renderers: ClassVar[dict[str, str]] = {"config": "json"}
    ui_color = "#ded7cf"

    describe_method: str
    stop_method: str | None = None
    name_key: str
    status_key: str
    pending_states: tuple[str, ...]

    def __init__(
        self,
        *,
        config: Config,
        poll_interval: float = 30,
        max_wait: timedelta | float | None = None,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config: Any = config  # a request, once it is rendered
        self.poll_interval = poll_interval
        self.max_wait = max_wait
        self.deferrable = deferrable
        self.name: str | None = None

    def describe(self, name: str) -> dict[str, Any] | None:
        """Describe the resource; None if there is none of this name."""
        try:
            return getattr(self.hook.conn, self.describe_method)(**{self.name_key: name})
        except ClientError as error:
            if is_missing(error):
                return None
            raise

    def wait(
        self,
        name: str,
        *,
        since: datetime | None = None,
        method_name: str = "execute_complete",
        context: Context | None = None,
    ) -> Any:
        """
        Wait until the state is a final one, then evaluate it.

        :param since: when ``max_wait`` begins; now, if not given.
        :param method_name: the method that goes on, with the context and the trigger's event.
        :param context: the context, if that method needs it.
        """
        self.name = name
        deadline = self.deadline(since)
        if self.deferrable:
            self.defer(
                trigger=SageMakerStatusTrigger(
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
                ),
                method_name=method_name,
                timeout=deferral_timeout(deadline),
            )
        status = self._wait_here(name, deadline)
        return getattr(self, method_name)(context or {}, {"status": status, "name": name})

    def deadline(self, since: datetime | None) -> float | None:
        """
        Return when to give up, in seconds since the epoch; None for never.

        While a task is deferred, Airflow does not watch its ``execution_timeout`` (apache/airflow#69678, proposed fix
        apache/airflow#69734). So it counts here.
        """
        deadlines = []
        if self.max_wait is not None:
            limit = self.max_wait.total_seconds() if isinstance(self.max_wait, timedelta) else self.max_wait
            deadlines.append((since.timestamp() if since else time.time()) + limit)
        if self.deferrable and self.execution_timeout is not None:
            deadlines.append(time.time() + self.execution_timeout.total_seconds())
        return min(deadlines, default=None)

    def log_arguments(self, name: str) -> dict[str, str]:
        """Say where the resource's log is: ``log_group`` and ``log_stream_prefix``; empty for no log."""
        return {}

    def _wait_here(self, name: str, deadline: float | None) -> str:
        """Wait in the worker; return the event's status."""
        outage, last = Outage(self.poll_interval), ""
        where = self.log_arguments(name)
        logs = JobLogReader(self.log, **where) if where else None
        while True:
            pause = self.poll_interval
            try:
                description = self.describe(name)
                outage.over()
            except Exception as error:
                pause = outage.pause(error)
                self.log.warning("AWS can't be asked for %s now: %s", name, error)
            else:
                if description is None:
                    return "gone"
                status = description[self.status_key]
                if (now := progress(description, self.status_key)) != last:
                    self.log.info("%s: %s", name, now)
                    last = now
                if logs:
                    logs.read(self._logs_client(), rest=status not in self.pending_states)
                if status not in self.pending_states:
                    return status
            if deadline is not None and time.time() >= deadline:
                return "timeout"
            time.sleep(pause if deadline is None else max(0.0, min(pause, deadline - time.time())))

    def _logs_client(self) -> Any:
        return AwsLogsHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        ).conn

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Evaluate the final state when the trigger has fired."""
        self.check_event(event)
        return self.evaluate(event["name"])

    def check_event(self, event: dict[str, Any]) -> None:
        """
        Raise if the wait ended before there was a final state.

        :raises AirflowException: if AWS could not be asked, or the time is over.
        """
        if event["status"] == "error":
            raise AirflowException(event["message"])
        if event["status"] == "timeout":
            self.give_up(event["name"])

    def give_up(self, name: str) -> None:
        """
        Fail the task when the time is over.

        :raises AirflowException: always.
        """
        raise AirflowException(f"{name} has no final state yet, and the task's time is over.")

    def evaluate(self, name: str) -> Any:
        """Return the result of a good end, raise for any other."""
        raise NotImplementedError

    def stop(self, name: str) -> None:
        """Stop what runs remotely, if that is possible at all."""
        if self.stop_method is None:
            return
        self.log.info("Stopping %s.", name)
        try:
            getattr(self.hook.conn, self.stop_method)(**{self.name_key: name})
        except ClientError as error:
            # it has ended in the meantime, or is being stopped already
            if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
                raise
            self.log.info("%s need not be stopped: %s", name, error)


class SageMakerBaseStepwiseOperator(SageMakerBaseWaitingOperator):
    """
    Bring something that lasts, such as an endpoint, where it should be, step by step.

    Each step follows from what SageMaker says of it, so it makes no difference whether the step before it was this
    task's, an earlier try's or somebody else's, nor in which process it was done.

    :param config: The request; the member ``name_key`` names it (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds; None for no limit of the task's own.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    """

    phrase: str

    def begin(self, context: Context) -> Any:
        """Take the first step."""
        return self.advance(context)

    def advance(self, context: Context) -> Any:
        """Look at it, and take the step that follows."""
        raise NotImplementedError

    def execute_next(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when a change that was under way, whoever asked for it, has come to its end."""
        self.check_event(event)
        return self.advance(context)

    def wait_for_change(self, context: Context, then: str) -> Any:
        """Wait until nothing changes it any more, and go on with the method of this name."""
        return self.wait(
            self.config[self.name_key], since=self._since(context), method_name=then, context=context
        )

    def pause(self, context: Context, deadline: float | None) -> None:
        """Wait a moment: somebody else has begun to change it since it was looked at."""
        if deadline is not None and time.time() >= deadline:
            self.give_up(self.config[self.name_key])
        time.sleep(self.poll_interval)

    def check_event(self, event: dict[str, Any]) -> None:
        """
        Raise if the wait ended early, unless the change has come to its end since; to be gone is an end as well.

        :raises AirflowException: if AWS could not be asked, or the time is over.
        """
        if event["status"] in ("error", "timeout"):
            description = self.describe(event["name"])
            if description is None or description[self.status_key] not in self.pending_states:
                return
        super().check_event(event)

    def give_up(self, name: str) -> NoReturn:
        """
        Fail the task when the time is over; what was begun goes on.

        :raises AirflowException: always.
        """
        description = self.describe(name)
        status = description[self.status_key] if description else "gone"
        raise AirflowException(
            f"{self.phrase.capitalize()} {name} is still {status}, and the task's time is over."
        )

    @staticmethod
    def _since(context: Context) -> datetime | None:
        """When this try began: Airflow keeps that while the task is deferred, and the operator's own fields not."""
        instance = context.get("ti")
        return instance.start_date if instance else None


def reason(description: dict[str, Any]) -> str:
    """Why something has failed, as SageMaker says."""
    return description.get("FailureReason") or "SageMaker gives no reason."
