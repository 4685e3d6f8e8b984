"""Aliases: moto keeps them, but tells them in other words, and knows nothing of provisioned concurrency."""

import re
from typing import Any

from moto.awslambda.models import LambdaAlias

from include.local_aws.awslambda.fleet import Fleet, Target
from include.local_aws.awslambda.moto_aliases import (
    aliases_of,
    change_alias,
    create_alias,
    delete_alias,
    find_alias,
    weights_of,
)
from include.local_aws.awslambda.moto_functions import check_exists, function_arn
from include.local_aws.errors import AwsError

Members = dict[str, Any]


class Aliases:
    """The aliases of all functions.

    An alias with provisioned concurrency moves in steps, as in AWS: Lambda gives the version that it leaves a weight of
    1, so that all calls go there until the new one is provisioned.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def create(self, region: str, name: str, members: Members) -> Members:
        """Answer CreateAlias."""
        alias, version = members.get("Name") or "", members.get("FunctionVersion") or ""
        if not re.fullmatch(r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", alias):
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{alias}' at 'name' failed to satisfy constraint: Member must "
                "satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
            )
        weights = _weights(members) or {}
        check_exists(region, name, version)
        _check_weights(region, name, version, weights)
        if alias in [found.name for found in aliases_of(region, name)]:
            arn = function_arn(region, name, alias)
            raise AwsError("ResourceConflictException", f"Alias already exists: {arn}", 409)
        return _described(create_alias(region, name, alias, version, members.get("Description", ""), weights))

    def get(self, region: str, name: str, alias: str) -> Members:
        """Answer GetAlias."""
        return _described(find_alias(region, name, alias))

    def list(self, region: str, name: str, version: str | None) -> Members:
        """Answer ListAliases; version limits it to the aliases that send calls there."""
        check_exists(region, name)
        found = [
            alias
            for alias in aliases_of(region, name)
            if version in (None, alias.function_version, *weights_of(alias))
        ]
        return {"Aliases": [_described(alias) for alias in found]}

    def delete(self, region: str, name: str, alias: str) -> None:
        """Answer DeleteAlias, also of one that does not exist."""
        check_exists(region, name)
        self._fleet.forget(region, name, alias)
        delete_alias(region, name, alias)

    def update(self, region: str, name: str, alias: str, members: Members) -> Members:
        """Answer UpdateAlias."""
        if alias not in [found.name for found in aliases_of(region, name)]:
            arn = function_arn(region, name, alias)
            raise AwsError("ResourceNotFoundException", f"Alias not found: {arn}", 404)
        found = find_alias(region, name, alias)
        if members.get("RevisionId") not in (None, found.revision_id):
            raise AwsError(
                "PreconditionFailedException",
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id",
                412,
            )
        version = members.get("FunctionVersion") or found.function_version
        weights, target = _weights(members), Target(region, name, alias)
        check_exists(region, name, version)
        _check_weights(region, name, version, weights_of(found) if weights is None else weights)
        moves = version != found.function_version and not weights and self._fleet.is_provisioned(target)
        if moves and self._fleet.has_failed_to_move(target):
            raise AwsError(
                "InvalidParameterValueException", "Invalid alias configuration for Provisioned Concurrency"
            )

        def change() -> Members:
            change_alias(found, version, members.get("Description"), weights)
            return _described(found)  # without the weights that Lambda gives it by itself

        if moves:
            return self._fleet.move(target, change)
        described = change()
        if weights is not None:
            self._fleet.settle(target)
        return described


def _weights(members: Members) -> dict[str, float] | None:
    routing = members.get("RoutingConfig")
    return None if routing is None else routing.get("AdditionalVersionWeights") or {}


def _check_weights(region: str, name: str, version: str, weights: dict[str, float]) -> None:
    if len(weights) > 1:
        raise AwsError(
            "InvalidParameterValueException",
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        )
    for other, weight in weights.items():
        if not 0 <= weight <= 1 or not other.isdecimal():
            raise AwsError(
                "ValidationException",
                f"1 validation error detected: Value '{{{other}={weight}}}' at "
                "'routingConfig.additionalVersionWeights' failed to satisfy "
                "constraint: a version's number, and a weight from 0.0 to 1.0",
            )
        if version == "$LATEST":
            raise AwsError(
                "InvalidParameterValueException",
                "$LATEST is not supported for an alias pointing to more than 1 version",
            )
        if other == version:
            raise AwsError(
                "InvalidParameterValueException",
                f"Invalid function version {version}. Function version {version} is already included in routing "
                "configuration.",
            )
        check_exists(region, name, other)


def _described(alias: LambdaAlias) -> Members:
    described = {
        "AliasArn": alias.arn,
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    weights = weights_of(alias)
    return described | ({"RoutingConfig": {"AdditionalVersionWeights": weights}} if weights else {})
