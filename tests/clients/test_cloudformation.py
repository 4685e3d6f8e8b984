"""What CloudFormation has made of the project's stack, property by property, and what it refuses."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

TEMPLATE = Path(__file__).parents[2] / "include" / "infrastructure" / "stack.yaml"


class Stack:
    """A stack as its services describe it, beside the template with every reference resolved."""

    def __init__(self, client: Callable[[str], Any], name: str) -> None:
        import cfnlint.decode  # a second, which every process that collects the tests would take

        self.client, self.cloudformation = client, client("cloudformation")
        document, errors = cfnlint.decode.decode(str(TEMPLATE))
        assert errors == []
        [self.described] = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
        found = self.cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        self.ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}
        account = client("sts").get_caller_identity()["Account"]
        self.pseudo = {
            "AWS::Partition": "aws",
            "AWS::Region": "us-east-1",
            "AWS::AccountId": account,
            "AWS::StackName": name,
            "AWS::StackId": self.described["StackId"],
        }
        # Those of the serving image, an optional part, are compared where that part is tested.
        self.resources = {
            name: each
            for name, each in document["Resources"].items()
            if each.get("Condition") != "ServingImageIsWanted"
        }
        self.outputs = {name: each for name, each in document["Outputs"].items() if "Condition" not in each}

    def properties(self, logical_id: str) -> dict[str, Any]:
        return self.resolved(self.resources[logical_id]["Properties"])

    def of_type(self, resource_type: str) -> list[str]:
        return [name for name, each in self.resources.items() if each["Type"] == resource_type]

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolved(each) for each in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Ref"}:
            return self.pseudo.get(value["Ref"]) or self.ids[value["Ref"]]
        if value.keys() == {"Fn::GetAtt"}:
            return self.attribute(*value["Fn::GetAtt"])
        if value.keys() == {"Fn::Sub"}:
            return re.sub(r"\$\{([^}]+)\}", lambda match: self.substitute(match[1]), value["Fn::Sub"])
        return {str(name): self.resolved(each) for name, each in value.items()}

    def substitute(self, name: str) -> str:
        logical_id, _, attribute = name.partition(".")
        return self.attribute(logical_id, attribute) if attribute else self.resolved({"Ref": name})

    def attribute(self, logical_id: str, attribute: str) -> str:
        assert attribute == "Arn"
        iam, name = self.client("iam"), self.ids[logical_id]
        kind = self.resources[logical_id]["Type"]
        if kind == "AWS::S3::Bucket":
            return f"arn:aws:s3:::{name}"
        if kind == "AWS::IAM::Role":
            return iam.get_role(RoleName=name)["Role"]["Arn"]
        return iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]


@pytest.fixture(scope="module")
def stack(local_aws: Any) -> Iterator[Stack]:
    """The stack as ``aws cloudformation deploy`` makes it: by a change set."""
    cloudformation, name = local_aws.client("cloudformation"), f"stack-{uuid.uuid4().hex[:8]}"
    change_set = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
    )["Id"]
    cloudformation.get_waiter("change_set_create_complete").wait(ChangeSetName=change_set)
    cloudformation.execute_change_set(ChangeSetName=change_set)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name)
    yield Stack(local_aws.client, name)
    cloudformation.delete_stack(StackName=name)


def test_every_output_has_the_value_of_the_template(stack: Stack) -> None:
    shown = {each["OutputKey"]: each["OutputValue"] for each in stack.described["Outputs"]}
    assert shown == {name: stack.resolved(each["Value"]) for name, each in stack.outputs.items()}


def test_the_bucket_has_every_property(stack: Stack) -> None:
    s3, name = stack.client("s3"), stack.ids["Bucket"]
    wanted = stack.properties("Bucket")
    block = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert block == wanted.pop("PublicAccessBlockConfiguration")
    assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == wanted.pop(
        "OwnershipControls"
    )
    [rule] = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    [wanted_rule] = wanted.pop("LifecycleConfiguration")["Rules"]
    assert (rule["ID"], rule["Status"]) == (wanted_rule["Id"], wanted_rule["Status"])
    assert rule["AbortIncompleteMultipartUpload"] == wanted_rule["AbortIncompleteMultipartUpload"]
    [encryption] = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    [wanted_encryption] = wanted.pop("BucketEncryption")["ServerSideEncryptionConfiguration"]
    assert (
        encryption["ApplyServerSideEncryptionByDefault"] == wanted_encryption["ServerSideEncryptionByDefault"]
    )
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == wanted.pop("Tags")
    assert wanted == {}
    policy = json.loads(s3.get_bucket_policy(Bucket=name)["Policy"])
    assert policy == stack.properties("BucketPolicy")["PolicyDocument"]


def test_every_role_has_its_trust_policies_and_tags(stack: Stack) -> None:
    iam = stack.client("iam")
    for logical_id in stack.of_type("AWS::IAM::Role"):
        wanted, name = stack.properties(logical_id), stack.ids[logical_id]
        role = iam.get_role(RoleName=name)["Role"]
        assert role["AssumeRolePolicyDocument"] == wanted["AssumeRolePolicyDocument"]
        assert (role["Description"], role["Tags"]) == (wanted["Description"], wanted["Tags"])
        policies = [
            {"PolicyName": policy, "PolicyDocument": iam.get_role_policy(RoleName=name, PolicyName=policy)}
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        for policy in policies:
            policy["PolicyDocument"] = policy["PolicyDocument"]["PolicyDocument"]
        assert policies == wanted["Policies"]


def test_every_managed_policy_profile_and_topic_is_the_template_s(stack: Stack) -> None:
    iam = stack.client("iam")
    for logical_id in stack.of_type("AWS::IAM::ManagedPolicy"):
        wanted, arn = stack.properties(logical_id), stack.ids[logical_id]
        policy = iam.get_policy(PolicyArn=arn)["Policy"]
        version = iam.get_policy_version(PolicyArn=arn, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
        assert (policy["Description"], version["Document"]) == (
            wanted["Description"],
            wanted["PolicyDocument"],
        )
    [logical_id] = stack.of_type("AWS::IAM::InstanceProfile")
    profile = iam.get_instance_profile(InstanceProfileName=stack.ids[logical_id])["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == stack.properties(logical_id)["Roles"]
    sns, topic, wanted = stack.client("sns"), stack.ids["Topic"], stack.properties("Topic")
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["DisplayName"] == wanted["DisplayName"]
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == wanted["Tags"]


def test_every_type_of_the_template_is_compared(stack: Stack) -> None:
    types = {each["Type"] for each in stack.resources.values()}
    assert types == {
        "AWS::S3::Bucket",
        "AWS::S3::BucketPolicy",
        "AWS::IAM::Role",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::SNS::Topic",
    }


def test_a_change_set_without_changes_has_failed_and_says_so(stack: Stack) -> None:
    cloudformation, name = stack.cloudformation, stack.described["StackName"]
    change_set = cloudformation.create_change_set(
        StackName=name,
        ChangeSetName="again",
        ChangeSetType="UPDATE",
        TemplateBody=TEMPLATE.read_text(),
        Capabilities=["CAPABILITY_IAM"],
    )["Id"]
    found = cloudformation.describe_change_set(ChangeSetName=change_set)
    assert found["Status"] == "FAILED"
    assert found["StatusReason"].startswith("The submitted information didn't contain changes.")


@pytest.mark.parametrize(
    ("resource", "code", "text"),
    [
        (
            {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_IAM]",
        ),
        (
            {"Type": "AWS::IAM::User", "Properties": {"UserName": "named"}},
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_NAMED_IAM]",
        ),
        ({"Type": "AWS::No::Such"}, "ValidationError", "Unrecognized resource types: [AWS::No::Such]"),
        (
            {"Type": "AWS::SageMaker::Model", "Properties": {"ExecutionRoleArn": "any"}},
            "ValidationError",
            "Local AWS does not implement AWS::SageMaker::Model of Made in templates.",
        ),
        (
            {"Type": "AWS::S3::Bucket", "Properties": {"WebsiteConfiguration": {}}},
            "ValidationError",
            "Local AWS does not implement WebsiteConfiguration of the bucket Made",
        ),
    ],
)
@pytest.mark.parametrize("operation", ["create_stack", "create_change_set"])
def test_what_would_be_ignored_or_is_not_acknowledged_is_refused(
    local_aws: Any, resource: dict[str, Any], code: str, text: str, operation: str
) -> None:
    cloudformation = local_aws.client("cloudformation")
    request = {"StackName": "refused", "TemplateBody": json.dumps({"Resources": {"Made": resource}})}
    if operation == "create_change_set":
        request |= {"ChangeSetName": "refused", "ChangeSetType": "CREATE"}
    with pytest.raises(ClientError) as caught:
        getattr(cloudformation, operation)(**request)
    assert caught.value.response["Error"]["Code"] == code
    assert text in caught.value.response["Error"]["Message"]
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_bucket_policy_follows_its_condition(local_aws: Any) -> None:
    cloudformation, s3 = local_aws.client("cloudformation"), local_aws.client("s3")
    name = f"stack-{uuid.uuid4().hex[:8]}"
    request = {
        "StackName": name,
        "TemplateBody": TEMPLATE.read_text(),
        "Capabilities": ["CAPABILITY_IAM"],
    }
    tls = {"ParameterKey": "EnforceTls"}
    cloudformation.create_stack(**request, Parameters=[{**tls, "ParameterValue": "false"}])
    bucket = Stack(local_aws.client, name).ids["Bucket"]
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)
    cloudformation.update_stack(**request, Parameters=[{**tls, "ParameterValue": "true"}])
    assert "DenyWithoutTls" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    cloudformation.delete_stack(StackName=name)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket=bucket)


def test_an_update_changes_the_tags_of_a_bucket(local_aws: Any) -> None:
    cloudformation, s3 = local_aws.client("cloudformation"), local_aws.client("s3")
    name = f"stack-{uuid.uuid4().hex[:8]}"
    resource = {
        "Type": "AWS::S3::Bucket",
        "Properties": {"BucketName": name, "Tags": [{"Key": "of", "Value": {"Ref": "Of"}}]},
    }
    template = {"Parameters": {"Of": {"Type": "String"}}, "Resources": {"Bucket": resource}}
    of = {"ParameterKey": "Of"}
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Parameters=[{**of, "ParameterValue": "me"}]
    )
    cloudformation.update_stack(
        StackName=name, UsePreviousTemplate=True, Parameters=[{**of, "ParameterValue": "you"}]
    )
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "of", "Value": "you"}]
