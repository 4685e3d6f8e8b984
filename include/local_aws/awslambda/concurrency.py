"""The concurrent executions of an account: what is reserved and provisioned of them, and what is left."""

from typing import Any

from include.local_aws.awslambda.fleet import Fleet, Target
from include.local_aws.awslambda.moto_aliases import aliases_of, weights_of
from include.local_aws.awslambda.moto_functions import check_exists, code_usage, reservations
from include.local_aws.config import Config
from include.local_aws.errors import AwsError

MIN_UNRESERVED = 100
"""What AWS keeps for functions that reserve nothing; all of it in an account that has less."""


class Concurrency:
    """The limits of one account."""

    def __init__(self, config: Config, fleet: Fleet) -> None:
        self._limit = config.concurrent_executions
        self._fleet = fleet

    def settings(self, region: str) -> dict[str, Any]:
        """Answer GetAccountSettings."""
        functions, code = code_usage(region)
        return {
            "AccountLimit": {
                "TotalCodeSize": 80_530_636_800,
                "CodeSizeUnzipped": 262_144_000,
                "CodeSizeZipped": 52_428_800,
                "ConcurrentExecutions": self._limit,
                "UnreservedConcurrentExecutions": self._unreserved(region),
            },
            "AccountUsage": {"TotalCodeSize": code, "FunctionCount": functions},
        }

    def check_reservation(self, region: str, name: str, count: int) -> None:
        """See that as many executions can be reserved for a function.

        :raises AwsError: InvalidParameterValueException
        """
        provisioned = self._fleet.total_provisioned(region)[name]
        if count < provisioned:
            raise AwsError(
                "InvalidParameterValueException",
                f" ReservedConcurrentExecutions  {count} should not be lower than function's total provisioned "
                f"concurrency [{provisioned}].",
            )
        self._check_rest(region, count - self._held(region, name), "ReservedConcurrentExecutions")

    def check_provisioning(self, target: Target, count: int) -> None:
        """See that as many environments can be provisioned for a version or alias.

        :raises AwsError: InvalidParameterValueException; ResourceConflictException if an alias and its version would
            both have some
        """
        self._check_alias(target)
        region, name = target.region, target.name
        found = self._fleet.provisioned(region, name)
        more = count - (found[target.qualifier].requested if target.qualifier in found else 0)
        reserved = reservations(region).get(name)
        if reserved is None:
            if more > self._unreserved(region):
                raise AwsError(
                    "InvalidParameterValueException",
                    "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency "
                    f"[{self._unreserved(region)}].",
                )
            self._check_rest(region, more, "ConcurrentExecutions")
        elif sum(item.requested for item in found.values()) + more > reserved:
            raise AwsError(
                "InvalidParameterValueException",
                "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for "
                "function",
            )

    def _check_alias(self, target: Target) -> None:
        provisioned = self._fleet.provisioned(target.region, target.name)
        aliases = {alias.name: alias for alias in aliases_of(target.region, target.name)}
        if alias := aliases.get(target.qualifier):
            if weights_of(alias):
                raise AwsError(
                    "InvalidParameterValueException",
                    "Alias with weights can not be used with Provisioned Concurrency",
                )
            if alias.function_version in provisioned:
                raise AwsError(
                    "ResourceConflictException",
                    "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
                    409,
                )
            return
        version = str(check_exists(target.region, target.name, target.qualifier).version)
        if any(alias.function_version == version and alias.name in provisioned for alias in aliases.values()):
            raise AwsError(
                "ResourceConflictException", "Version is pointed by a Provisioned Concurrency alias", 409
            )

    def _check_rest(self, region: str, more: int, what: str) -> None:
        least = min(MIN_UNRESERVED, self._limit)
        if more > 0 and self._unreserved(region) - more < least:
            raise AwsError(
                "InvalidParameterValueException",
                f"Specified {what} for function decreases account's UnreservedConcurrentExecution below its minimum "
                f"value of [{least}].",
            )

    def _held(self, region: str, name: str) -> int:
        reserved = reservations(region).get(name)
        return self._fleet.total_provisioned(region)[name] if reserved is None else reserved

    def _unreserved(self, region: str) -> int:
        reserved, provisioned = reservations(region), self._fleet.total_provisioned(region)
        return self._limit - sum({**provisioned, **reserved}.values())
