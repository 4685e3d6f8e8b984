"""The reach into moto's aliases: where they point to, and their weights."""

import random
import uuid
from typing import Any

from moto.awslambda.exceptions import UnknownAliasException, UnknownFunctionException
from moto.awslambda.models import LambdaAlias, lambda_backends

from include.local_aws.awslambda.moto_functions import function_arn
from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError


def find_alias(region: str, name: str, alias: str) -> LambdaAlias:
    """Return an alias.

    :raises AwsError: ResourceNotFoundException
    """
    found = _find(region, name, alias)
    if found is None:
        arn = function_arn(region, name, alias)
        raise AwsError("ResourceNotFoundException", f"Cannot find alias arn: {arn}", 404)
    return found


def aliases_of(region: str, name: str) -> list[LambdaAlias]:
    """Return a function's aliases by name; none where there is no such function."""
    try:
        return list(lambda_backends[ACCOUNT_ID][region].list_aliases(name))
    except UnknownFunctionException:
        return []


def create_alias(
    region: str, name: str, alias: str, version: str, description: str, weights: dict[str, float]
) -> LambdaAlias:
    """Make an alias of a function that has none of this name."""
    routing: Any = {"AdditionalVersionWeights": weights}  # moto calls it a text
    return lambda_backends[ACCOUNT_ID][region].create_alias(alias, name, version, description, routing)


def delete_alias(region: str, name: str, alias: str) -> None:
    """Delete an alias, if it is there."""
    lambda_backends[ACCOUNT_ID][region].delete_alias(alias, name)


def change_alias(
    alias: LambdaAlias, version: str, description: str | None = None, weights: dict[str, float] | None = None
) -> None:
    """Point an alias to a version, and give it a description and weights, or leave those."""
    routing: Any = None if weights is None else {"AdditionalVersionWeights": weights}
    alias.update(description, version, routing)
    alias.revision_id = str(uuid.uuid4())


def weights_of(alias: LambdaAlias) -> dict[str, float]:
    """Return the further version that an alias sends calls to, and its share; empty for none."""
    routing: Any = alias.routing_config or {}
    return routing.get("AdditionalVersionWeights") or {}


def set_weights(region: str, name: str, alias: str, weights: dict[str, float]) -> None:
    """Give an alias weights; one that was deleted meanwhile is left."""
    found = _find(region, name, alias)
    if found is not None:
        change_alias(found, found.function_version, weights=weights)


def draw_qualifier(region: str, name: str, qualifier: str | None) -> str | None:
    """The version that an alias with weights sends this call to; without weights, the qualifier itself."""
    found = _find(region, name, qualifier) if qualifier else None
    if found is None:
        return qualifier
    draw = random.random()  # noqa: S311 - shares traffic, guards nothing
    for version, weight in weights_of(found).items():
        if draw < weight:
            return version
        draw -= weight
    return qualifier


def aliases_of_version(region: str, name: str, version: str) -> list[str]:
    """The names of the aliases that send calls to a version; none where there is no such function."""
    return [
        alias.name
        for alias in aliases_of(region, name)
        if version in (alias.function_version, *weights_of(alias))
    ]


def _find(region: str, name: str, alias: str) -> LambdaAlias | None:
    try:
        return lambda_backends[ACCOUNT_ID][region].get_alias(name=alias, function_name=name)
    except (UnknownAliasException, UnknownFunctionException):
        return None
