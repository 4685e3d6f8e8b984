"""Create and update aliases of Lambda functions, and provision concurrency for them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, conf

from amazon_ml.operators.lambda_function import LambdaBaseOperator, seconds
from amazon_ml.operators.lost_trigger import RestartOnLostTriggerOperator, deferral_timeout
from amazon_ml.triggers.lambda_function import LambdaProvisionedConcurrencyTrigger, ProvisioningEvent
from include.aws.documents import AwsAnswer, RequestArgument
from include.aws.lambda_alias import IN_PROGRESS, LambdaAlias, weights_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class MovedAlias(TypedDict):
    """An alias, its version, and the one before; None for a new alias."""

    function: str
    alias: str
    version: str
    previous_version: str | None
    arn: str


class ProvisionedConcurrency(TypedDict):
    """The number of environments that are provisioned for an alias or version."""

    function: str
    qualifier: str
    provisioned_concurrent_executions: int


class LambdaBaseProvisioningOperator(RestartOnLostTriggerOperator, LambdaBaseOperator):
    """
    Wait until an alias has been updated and its provisioned concurrency is ready.

    :param function_name: The name of the function (templated).
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    """

    def __init__(
        self,
        *,
        poll_interval: float = 10,
        max_wait: timedelta | float = 900,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.poll_interval = poll_interval
        self.max_wait = max_wait
        self.deferrable = deferrable

    def alias_of(self, qualifier: str) -> LambdaAlias:
        """Return an alias or version of the function."""
        return LambdaAlias(self.function_name, qualifier, self.hook.conn)

    def wait(self, context: Context, qualifier: str, then: str, **kwargs: Any) -> Any:
        """
        Wait in the triggerer or in the worker, then continue with the event.

        :param then: The method that continues.
        :param kwargs: The additional arguments of that method.
        """
        limits = [self.max_wait]
        if self.deferrable and self.execution_timeout is not None:
            # Airflow does not enforce execution_timeout while a task is deferred (apache/airflow#69678).
            limits.append(self.execution_timeout)
        deadline = time.time() + min(seconds(limit) for limit in limits)
        trigger = LambdaProvisionedConcurrencyTrigger(
            function_name=self.function_name,
            qualifier=qualifier,
            deadline=deadline,
            poll_interval=self.poll_interval,
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            botocore_config=self.botocore_config,
        )
        if self.deferrable:
            self.defer(trigger=trigger, method_name=then, kwargs=kwargs, timeout=deferral_timeout(deadline))
        return getattr(self, then)(context, asyncio.run(trigger.wait()), **kwargs)

    def check_event(self, event: ProvisioningEvent, target: str) -> None:
        """
        Raise an exception if the wait ended early.

        :raises AirflowException: If Lambda could not be reached, or the wait timed out.
        """
        if event["status"] == IN_PROGRESS:
            raise AirflowException(
                f"The provisioned concurrency of {target} is not ready after {seconds(self.max_wait):.0f} s."
            )
        if event["status"] == "error":
            raise AirflowException(f"Lambda can't provision concurrency for {target}: {event['reason']}")


class LambdaAliasOperator(LambdaBaseProvisioningOperator):
    """
    Create an alias, point it to a version or split its traffic between two, and wait until the update is complete.

    The update of an alias with provisioned concurrency takes minutes: Lambda routes its traffic to the previous version
    until the new one is provisioned. If this fails, the previous version stays live, and the task fails.

    The previous version in the result is the version of the alias at the start of the task. After a retry it may be
    the same as the new version.

    :param function_name: The name of the function (templated).
    :param alias: The name of the alias (templated).
    :param function_version: The version that the alias points to (templated).
    :param routing_config: An additional version and its weight, in the format of boto3:
        ``{"AdditionalVersionWeights": {"7": 0.1}}``, or a callable that returns it when the task runs, since Airflow
        does not render keys (templated). Without it, all traffic goes to the main version.
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``function``, ``alias``, ``version``, ``previous_version`` (None for a new alias) and ``arn``.
    """

    template_fields: Sequence[str] = aws_template_fields(
        "function_name", "alias", "function_version", "routing_config"
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"routing_config": "json"}

    def __init__(
        self,
        *,
        alias: str,
        function_version: str,
        routing_config: RequestArgument | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alias = alias
        self.function_version = function_version
        self.routing_config: Any = routing_config  # a request after rendering

    def begin(self, context: Context) -> MovedAlias:
        """Create or update the alias, unless it is up to date or its update is in progress."""
        self.persist_link(context)
        weights = (self.routing_config or {}).get("AdditionalVersionWeights", {})
        alias = self.alias_of(self.alias)
        answer, previous = self._create_or_find(alias, weights)
        provisioned = None if previous is None else alias.provisioned()
        is_in_progress = provisioned is not None and provisioned["Status"] == IN_PROGRESS
        if previous is not None:
            # An earlier try has updated the alias. Lambda sets these weights until the update is complete.
            moves_there = previous == self.function_version and is_in_progress and not weights
            if (previous, weights_of(answer)) != (self.function_version, weights) and not moves_there:
                alias.move(self.function_version, weights)
                provisioned = alias.provisioned()
        self.log.info(
            "%s:%s points to version %s; previous version: %s.",
            self.function_name,
            self.alias,
            self.function_version,
            previous,
        )
        result: MovedAlias = {
            "function": self.function_name,
            "alias": self.alias,
            "version": self.function_version,
            "previous_version": previous,
            "arn": answer["AliasArn"],
        }
        if weights or provisioned is None:
            return result
        if provisioned["Status"] != IN_PROGRESS and not alias.weights():
            return result
        self.log.info(
            "Traffic goes to the previous version until version %s is provisioned.", self.function_version
        )
        moved: MovedAlias = self.wait(context, self.alias, "execute_complete", result=result)
        return moved

    def _create_or_find(self, alias: LambdaAlias, weights: dict[str, float]) -> tuple[AwsAnswer, str | None]:
        """Return the description of the alias and its previous version; None for a new alias."""
        try:
            answer = alias.describe()
        except alias.client.exceptions.ResourceNotFoundException:
            try:
                return alias.create(self.function_version, weights), None
            except alias.client.exceptions.ResourceConflictException:  # created in the meantime
                answer = alias.describe()
        return answer, answer["FunctionVersion"]

    def execute_complete(self, context: Context, event: ProvisioningEvent, result: MovedAlias) -> MovedAlias:
        """Evaluate the final state."""
        alias = self.alias_of(self.alias)
        self.check_event(event, str(alias))
        # A failure without weights does not affect the alias: it already points to the requested version.
        if event["status"] == "FAILED" and (weights := alias.weights()):
            raise AirflowException(
                f"Lambda can't provision concurrency for version {self.function_version} of {alias}: "
                f"{event['reason']}. Traffic still goes to version {', '.join(weights)}."
            )
        return result


class LambdaProvisionedConcurrencyOperator(LambdaBaseProvisioningOperator):
    """
    Provision concurrency for an alias or version, and wait until it is ready.

    A killed task does not change what Lambda provisions, since the environments may belong to the live version.

    :param function_name: The name of the function (templated).
    :param qualifier: The alias or version (templated).
    :param provisioned_concurrent_executions: The number of environments; 0 removes the provisioned concurrency.
    :param poll_interval: The number of seconds between two polls.
    :param max_wait: The maximum time to wait, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is occupied.
    :return: ``function``, ``qualifier`` and ``provisioned_concurrent_executions``.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name", "qualifier")

    def __init__(self, *, qualifier: str, provisioned_concurrent_executions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.qualifier = qualifier
        self.provisioned_concurrent_executions = provisioned_concurrent_executions

    def begin(self, context: Context) -> ProvisionedConcurrency:
        """Remove the provisioned concurrency, or set it once an update in progress has ended."""
        self.persist_link(context)
        if self.provisioned_concurrent_executions == 0:
            self.hook.conn.delete_provisioned_concurrency_config(
                FunctionName=self.function_name, Qualifier=self.qualifier
            )
            return self._result()
        found = self.alias_of(self.qualifier).provisioned()
        if found is None:
            return self._put(context)
        if found["Status"] != IN_PROGRESS:
            return self.execute_put(
                context, {"status": found["Status"], "reason": found.get("StatusReason", "")}
            )
        # Lambda rejects another number while the alias is being updated.
        put: ProvisionedConcurrency = self.wait(context, self.qualifier, "execute_put")
        return put

    def execute_put(self, context: Context, event: ProvisioningEvent) -> ProvisionedConcurrency:
        """Set the number, unless it is already set."""
        alias = self.alias_of(self.qualifier)
        self.check_event(event, str(alias))
        found = alias.provisioned()
        if event["status"] == "FAILED":
            if alias.weights():  # weights of a failed initialization
                alias.clear_weights()
        elif found and (
            found["RequestedProvisionedConcurrentExecutions"] == self.provisioned_concurrent_executions
        ):
            return self.execute_complete(context, event)
        return self._put(context)

    def execute_complete(self, context: Context, event: ProvisioningEvent) -> ProvisionedConcurrency:
        """Evaluate the final state."""
        target = f"{self.function_name}:{self.qualifier}"
        self.check_event(event, target)
        if event["status"] != "READY":
            raise AirflowException(f"Lambda can't provision concurrency for {target}: {event['reason']}")
        self.log.info(
            "%s environments of %s are provisioned.", self.provisioned_concurrent_executions, target
        )
        return self._result()

    def _put(self, context: Context) -> ProvisionedConcurrency:
        self.hook.conn.put_provisioned_concurrency_config(
            FunctionName=self.function_name,
            Qualifier=self.qualifier,
            ProvisionedConcurrentExecutions=self.provisioned_concurrent_executions,
        )
        result: ProvisionedConcurrency = self.wait(context, self.qualifier, "execute_complete")
        return result

    def _result(self) -> ProvisionedConcurrency:
        return {
            "function": self.function_name,
            "qualifier": self.qualifier,
            "provisioned_concurrent_executions": self.provisioned_concurrent_executions,
        }
