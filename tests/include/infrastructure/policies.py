"""Read the policies that the stack gives to each principal, from the account that the stack was deployed to."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from include.local_aws.principals import Principal

STACK = "image-classifier"
AIRFLOW = "local-airflow"
PAGES = "pages"
"""The API server of Airflow, where it has a role of its own."""

MANAGED = {
    AIRFLOW: ("AirflowPolicyArn", "AirflowServingPolicyArn", "AirflowEc2PolicyArn"),
    PAGES: ("AirflowPagesPolicyArn",),
}
ROLES = {
    Principal.JOB.value: "SageMakerRole",
    Principal.WORKSPACE.value: "WorkspaceRole",
    Principal.FUNCTION.value: "FunctionRole",
    Principal.INSTANCE.value: "TrainingInstanceRole",
}
Policy = dict[str, Any]


def of_stack(client: Callable[[str], Any]) -> dict[str, dict[str, Policy]]:
    """Return the documents of each principal's policies, by the name that the template has for them."""
    cloudformation, iam = client("cloudformation"), client("iam")
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    resources = cloudformation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in resources}
    found: dict[str, dict[str, Policy]] = {}
    for principal, arns in MANAGED.items():
        found[principal] = {
            arn.removesuffix("Arn"): iam.get_policy_version(PolicyArn=outputs[arn], VersionId="v1")[
                "PolicyVersion"
            ]["Document"]
            for arn in arns
        }
    for principal, role in ROLES.items():
        name = physical[role]
        (policy,) = iam.list_role_policies(RoleName=name)["PolicyNames"]
        document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        # moto keeps a role's inline policy as Python wrote it, not as JSON.
        found[principal] = {role: ast.literal_eval(document) if isinstance(document, str) else document}
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
