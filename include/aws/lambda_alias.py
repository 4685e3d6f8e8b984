"""The alias of a Lambda function: move it to a version, and see which version its calls reach.

An alias with provisioned concurrency moves slowly: Lambda gives the previous version a weight of 1 until the new
version is provisioned, which takes minutes. If that fails, the weight stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.aws.documents import AwsAnswer, AwsRequest

IN_PROGRESS = "IN_PROGRESS"


@dataclass(frozen=True)
class LambdaAlias:
    """An alias, which need not exist.

    :param function: the name of the function
    :param name: the name of the alias. :meth:`provisioned` and :meth:`weights` accept the number of a version too.
    :param client: a boto3 client for Lambda
    """

    function: str
    name: str
    client: Any

    def __str__(self) -> str:
        return f"{self.function}:{self.name}"

    def move(self, version: str, weights: dict[str, float] | None = None) -> None:
        """Point the alias to a version. With provisioned concurrency, its calls go there later.

        :param weights: an additional version and its share of the calls; none by default
        """
        request = {"FunctionVersion": version, **_routing(weights or {})}
        try:
            self._update(request)
        except self.client.exceptions.InvalidParameterValueException:
            if not self.weights():
                raise
            # A failed provisioning has left weights, and Lambda does not move an alias that has weights.
            self.clear_weights()
            self._update(request)

    def create(self, version: str, weights: dict[str, float] | None = None) -> AwsAnswer:
        """Create the alias, and return its description."""
        created: AwsAnswer = self.client.create_alias(
            FunctionName=self.function, Name=self.name, FunctionVersion=version, **_routing(weights or {})
        )
        return created

    def describe(self) -> AwsAnswer:
        """Return the description of the alias."""
        found: AwsAnswer = self.client.get_alias(FunctionName=self.function, Name=self.name)
        return found

    def clear_weights(self) -> None:
        """Send all calls to the version that the alias points to."""
        self._update(_routing({}))

    def weights(self) -> dict[str, float]:
        """Return the additional version of the alias with its weight; empty for the number of a version."""
        return {} if self.name.isdecimal() else weights_of(self.describe())

    def provisioned(self) -> AwsAnswer | None:
        """Describe the provisioned concurrency; None if there is none, or the alias does not exist."""
        try:
            found: AwsAnswer = self.client.get_provisioned_concurrency_config(
                FunctionName=self.function, Qualifier=self.name
            )
        except (
            self.client.exceptions.ProvisionedConcurrencyConfigNotFoundException,
            self.client.exceptions.ResourceNotFoundException,
        ):
            return None
        return found

    def _update(self, request: AwsRequest) -> None:
        self.client.update_alias(FunctionName=self.function, Name=self.name, **request)


def weights_of(alias: AwsAnswer) -> dict[str, float]:
    """Return the additional version of an alias with its weight, from the description of the alias."""
    weights: dict[str, float] = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    return weights


def _routing(weights: dict[str, float]) -> AwsRequest:
    # Always pass the weights. Without them, Lambda keeps those of an earlier release.
    return {"RoutingConfig": {"AdditionalVersionWeights": weights}}
