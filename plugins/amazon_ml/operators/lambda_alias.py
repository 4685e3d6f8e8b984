"""Move the aliases of Lambda functions, and keep environments of them warm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.providers.common.compat.sdk import AirflowException, conf

from amazon_ml.operators.lambda_function import LambdaBaseOperator, seconds
from amazon_ml.operators.lost_trigger import LookAgainOperator, deferral_timeout
from amazon_ml.triggers.lambda_function import LambdaProvisionedConcurrencyTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

NO_WEIGHTS: dict[str, Any] = {"AdditionalVersionWeights": {}}


class LambdaBaseProvisioningOperator(LookAgainOperator, LambdaBaseOperator):
    """
    Wait until an alias has moved and what is provisioned for it is ready.

    :param function_name: The name of the function (templated).
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
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

    def provisioned(self, qualifier: str) -> dict[str, Any] | None:
        """Describe what is provisioned for an alias or version; None if nothing is."""
        client = self.hook.conn
        try:
            found: dict[str, Any] = client.get_provisioned_concurrency_config(
                FunctionName=self.function_name, Qualifier=qualifier
            )
        except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
            return None
        return found

    def weights(self, qualifier: str) -> dict[str, float]:
        """Return the further version that an alias sends calls to, and its share; a version has none."""
        if qualifier.isdecimal():
            return {}
        return weights_of(self.hook.conn.get_alias(FunctionName=self.function_name, Name=qualifier))

    def clear_weights(self, alias: str) -> None:
        """Send all calls of an alias to its own version."""
        self.hook.conn.update_alias(FunctionName=self.function_name, Name=alias, RoutingConfig=NO_WEIGHTS)

    def wait(self, context: Context, qualifier: str, then: str, **kwargs: Any) -> Any:
        """
        Wait in the triggerer, or here in the same way, then continue with the event.

        :param then: The method that continues.
        :param kwargs: What it takes besides.
        """
        limits = [self.max_wait]
        if self.deferrable and self.execution_timeout is not None:
            # Airflow does not watch it while the task is deferred (apache/airflow#69678).
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

    def check_event(self, event: dict[str, Any], target: str) -> None:
        """
        Raise if the wait ended early.

        :raises AirflowException: if Lambda could not be asked, or the time is over.
        """
        if event["status"] == "IN_PROGRESS":
            raise AirflowException(
                f"The provisioned concurrency of {target} is not ready after {seconds(self.max_wait):.0f} s."
            )
        if event["status"] == "error":
            raise AirflowException(f"Lambda can't provision concurrency for {target}: {event['reason']}")


class LambdaAliasOperator(LambdaBaseProvisioningOperator):
    """
    Create an alias, or move it to a version, or share its calls among two; and wait until it has moved.

    An alias with provisioned concurrency moves slowly: Lambda keeps its calls on the version before until the new one
    is provisioned, which takes minutes. Where that fails, the version before goes on serving, and the task fails.

    The previous version in the result is what the alias pointed to when the task began: after a retry it may be
    the same as the new one.

    :param function_name: The name of the function (templated).
    :param alias: The name of the alias (templated).
    :param function_version: The version it points to (templated).
    :param routing_config: A further version and its share of the calls, as boto3 takes it:
        ``{"AdditionalVersionWeights": {"7": 0.1}}``, or a callable that makes it when the task runs, as Airflow
        renders no keys (templated). Without it, the alias's version gets all calls.
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
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
        routing_config: dict[str, Any] | Callable[..., dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alias = alias
        self.function_version = function_version
        self.routing_config: Any = routing_config  # a request, once it is rendered

    def begin(self, context: Context) -> dict[str, str | None]:
        """Create or move the alias, unless it is as asked or moves already."""
        self.persist_link(context)
        weights = (self.routing_config or {}).get("AdditionalVersionWeights", {})
        answer, previous = self._create_or_find(weights)
        provisioned = None if previous is None else self.provisioned(self.alias)
        is_in_progress = provisioned is not None and provisioned["Status"] == "IN_PROGRESS"
        if previous is not None:
            found = weights_of(answer)
            # The weights of an alias that moves are Lambda's own: an earlier try has moved it.
            moves_there = previous == self.function_version and is_in_progress and not weights
            if (previous, found) != (self.function_version, weights) and not moves_there:
                self._move(weights, found)
                provisioned = self.provisioned(self.alias)
        self.log.info(
            "%s:%s points to version %s; before: %s.",
            self.function_name,
            self.alias,
            self.function_version,
            previous,
        )
        result = {
            "function": self.function_name,
            "alias": self.alias,
            "version": self.function_version,
            "previous_version": previous,
            "arn": answer["AliasArn"],
        }
        if weights or provisioned is None:
            return result
        if provisioned["Status"] != "IN_PROGRESS" and not self.weights(self.alias):
            return result
        self.log.info("Its calls go to the version before until version %s is warm.", self.function_version)
        return self.wait(context, self.alias, "execute_complete", result=result)

    def _create_or_find(self, weights: dict[str, float]) -> tuple[dict[str, Any], str | None]:
        """Return Lambda's description of the alias, and its version before; None if it was created."""
        client = self.hook.conn
        name = {"FunctionName": self.function_name, "Name": self.alias}
        try:
            answer = client.get_alias(**name)
        except client.exceptions.ResourceNotFoundException:
            try:
                return client.create_alias(**name, **self._target(weights)), None
            except client.exceptions.ResourceConflictException:  # created in the meantime
                answer = client.get_alias(**name)
        return answer, answer["FunctionVersion"]

    def _move(self, weights: dict[str, float], found: dict[str, float]) -> None:
        """
        Point the alias to the version.

        :param found: The weights that the alias has. Those that a failed initialization has left must go first.
        """
        client = self.hook.conn
        request = {"FunctionName": self.function_name, "Name": self.alias, **self._target(weights)}
        try:
            client.update_alias(**request)
        except client.exceptions.InvalidParameterValueException:
            if not found:
                raise
            self.clear_weights(self.alias)
            client.update_alias(**request)

    def _target(self, weights: dict[str, float]) -> dict[str, Any]:
        # The weights are always given: without them, Lambda keeps those of an earlier release.
        return {
            "FunctionVersion": self.function_version,
            "RoutingConfig": {"AdditionalVersionWeights": weights},
        }

    def execute_complete(
        self, context: Context, event: dict[str, Any], result: dict[str, str | None]
    ) -> dict[str, str | None]:
        """Evaluate the last state that was seen."""
        target = f"{self.function_name}:{self.alias}"
        self.check_event(event, target)
        # One that failed without weights is not what the alias waits for: it points where it should.
        if event["status"] == "FAILED" and (weights := self.weights(self.alias)):
            raise AirflowException(
                f"Lambda can't provision concurrency for version {self.function_version} of {target}: "
                f"{event['reason']}. Calls still go to version {', '.join(weights)}."
            )
        return result


class LambdaProvisionedConcurrencyOperator(LambdaBaseProvisioningOperator):
    """
    Keep execution environments of an alias or version warm, and wait until they are.

    A killed task leaves what Lambda provisions: it may be what served before, in another number.

    :param function_name: The name of the function (templated).
    :param qualifier: The alias or version (templated).
    :param provisioned_concurrent_executions: How many; 0 removes what is there.
    :param poll_interval: Seconds between two looks at the state.
    :param max_wait: How long to wait at most, a timedelta or seconds.
    :param deferrable: Wait in the triggerer, so that no worker slot is held.
    :return: ``function``, ``qualifier`` and ``provisioned_concurrent_executions``.
    """

    template_fields: Sequence[str] = aws_template_fields("function_name", "qualifier")

    def __init__(self, *, qualifier: str, provisioned_concurrent_executions: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.qualifier = qualifier
        self.provisioned_concurrent_executions = provisioned_concurrent_executions

    def begin(self, context: Context) -> dict[str, Any]:
        """Remove the provisioned concurrency, or put it once what is there has settled."""
        self.persist_link(context)
        if self.provisioned_concurrent_executions == 0:
            self.hook.conn.delete_provisioned_concurrency_config(
                FunctionName=self.function_name, Qualifier=self.qualifier
            )
            return self._result()
        found = self.provisioned(self.qualifier)
        if found is None:
            return self._put(context)
        if found["Status"] != "IN_PROGRESS":
            return self.execute_put(context, {"status": found["Status"]})
        # Lambda refuses another number while the alias moves.
        return self.wait(context, self.qualifier, "execute_put")

    def execute_put(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Put the number, unless it is there."""
        self.check_event(event, self._target)
        found = self.provisioned(self.qualifier)
        if event["status"] == "FAILED":
            if self.weights(self.qualifier):  # which a failed initialization has left
                self.clear_weights(self.qualifier)
        elif found and (
            found["RequestedProvisionedConcurrentExecutions"] == self.provisioned_concurrent_executions
        ):
            return self.execute_complete(context, event)
        return self._put(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Evaluate the last state that was seen."""
        self.check_event(event, self._target)
        if event["status"] != "READY":
            raise AirflowException(
                f"Lambda can't provision concurrency for {self._target}: {event['reason']}"
            )
        self.log.info("%s environments of %s are warm.", self.provisioned_concurrent_executions, self._target)
        return self._result()

    def _put(self, context: Context) -> dict[str, Any]:
        self.hook.conn.put_provisioned_concurrency_config(
            FunctionName=self.function_name,
            Qualifier=self.qualifier,
            ProvisionedConcurrentExecutions=self.provisioned_concurrent_executions,
        )
        result: dict[str, Any] = self.wait(context, self.qualifier, "execute_complete")
        return result

    @property
    def _target(self) -> str:
        return f"{self.function_name}:{self.qualifier}"

    def _result(self) -> dict[str, Any]:
        return {
            "function": self.function_name,
            "qualifier": self.qualifier,
            "provisioned_concurrent_executions": self.provisioned_concurrent_executions,
        }


def weights_of(alias: dict[str, Any]) -> dict[str, float]:
    """The further version that an alias sends calls to, and its share, from Lambda's description."""
    weights: dict[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return weights
