"""The policies of functions, versions and aliases: moto keeps their statements together, and finds none again."""

import json
from typing import Any

from moto.awslambda.models import lambda_backends
from moto.awslambda.policy import Policy

from include.local_aws.awslambda.moto_aliases import find_alias
from include.local_aws.awslambda.moto_functions import check_exists, function_arn
from include.local_aws.config import ACCOUNT_ID
from include.local_aws.errors import AwsError

Members = dict[str, Any]


def check_new_statement(region: str, name: str, qualifier: str | None, members: Members) -> None:
    """See that a statement can be added, which moto then does.

    :raises AwsError: ResourceNotFoundException; ResourceConflictException for an id that is there already
    """
    if qualifier == "$LATEST":
        raise AwsError(
            "InvalidParameterValueException", "We currently do not support adding policies for $LATEST."
        )
    _check_exists(region, name, qualifier)
    statement_id = members.get("StatementId")
    if any(found["Sid"] == statement_id for found in _statements(region, name, qualifier)):
        raise AwsError(
            "ResourceConflictException",
            f"The statement id ({statement_id}) provided already exists. Please provide a new statement id, or remove "
            "the existing statement.",
            409,
        )


def get(region: str, name: str, qualifier: str | None) -> Members:
    """Answer GetPolicy.

    :raises AwsError: ResourceNotFoundException where there is no statement
    """
    try:
        _check_exists(region, name, qualifier)
        statements = _statements(region, name, qualifier)
    except AwsError:
        statements = []
    if not statements:
        raise AwsError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
    policy = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    return {"Policy": json.dumps(policy), "RevisionId": _policy(region, name).revision}


def remove(region: str, name: str, qualifier: str | None, statement_id: str) -> None:
    """Answer RemovePermission.

    :raises AwsError: ResourceNotFoundException
    """
    try:
        check_exists(region, name)
    except AwsError:
        raise AwsError(
            "ResourceNotFoundException", f"No policy found for: {function_arn(region, name)}", 404
        ) from None
    _check_exists(region, name, qualifier)
    for found in _statements(region, name, qualifier):
        if found["Sid"] == statement_id:
            _policy(region, name).statements.remove(found)
            return
    raise AwsError("ResourceNotFoundException", "No policy is associated with the given resource.", 404)


def _check_exists(region: str, name: str, qualifier: str | None) -> None:
    check_exists(region, name)
    if qualifier and qualifier.isdecimal():
        check_exists(region, name, qualifier)
    elif qualifier:
        find_alias(region, name, qualifier)


def _statements(region: str, name: str, qualifier: str | None) -> list[Members]:
    arn = function_arn(region, name, qualifier)
    return [found for found in _policy(region, name).statements if found["Resource"] == arn]


def _policy(region: str, name: str) -> Policy:
    """The policy that a function shares with its versions, in moto."""
    policy: Policy = lambda_backends[ACCOUNT_ID][region].get_function(name).policy
    return policy
