import ast
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from include.pipeline.page_urls import content_type

STACK = Path(__file__).parents[3] / "include" / "infrastructure" / "stack.yaml"
LONGEST_MANAGED_POLICY = 6_144
"""Characters that IAM allows in a managed policy, blanks not counted."""

ROOM_FOR_LONGER_NAMES = 400
"""What longer names of region, partition and stack than this test's can add."""

POLICIES = ("AirflowPolicyArn", "AirflowServingPolicyArn", "AirflowEc2PolicyArn")
TAGGED = {"StringEquals": {"aws:ResourceTag/managed-by": "airflow"}}

pytestmark = pytest.mark.filterwarnings("ignore:Tried to parse AWS..S3..BucketPolicy")

Statement = dict[str, Any]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """An account of moto's own, in this process and for one test."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")


def deploy(aws: boto3.Session, **parameters: str) -> dict[str, str]:
    """The stack's outputs."""
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName="image-classifier",
        TemplateBody=STACK.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    [stack] = cloudformation.describe_stacks(StackName="image-classifier")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def template() -> dict[str, Any]:
    """The stack's file, short forms such as ``!Ref`` written out."""
    import cfnlint.decode  # a second, which every process that collects the tests would take

    document, errors = cfnlint.decode.decode(str(STACK))
    assert errors == []
    return document


def role_statements(aws: boto3.Session, role_arn: str) -> list[Statement]:
    iam, role = aws.client("iam"), role_arn.split("/")[-1]
    [name] = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    # moto keeps a role's inline policy as Python wrote it, not as JSON.
    return ast.literal_eval(document)["Statement"]


def policy_statements(aws: boto3.Session, policy_arn: str) -> list[Statement]:
    version = aws.client("iam").get_policy_version(PolicyArn=policy_arn, VersionId="v1")
    return version["PolicyVersion"]["Document"]["Statement"]


def airflow_statements(aws: boto3.Session, outputs: dict[str, str]) -> list[Statement]:
    """Those of all policies for Airflow."""
    return [statement for output in POLICIES for statement in policy_statements(aws, outputs[output])]


def actions(statement: Statement) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action


def test_cloudformation_would_accept_it() -> None:
    import cfnlint

    assert cfnlint.lint(STACK.read_text(), regions=["us-east-1", "eu-west-1"]) == []


def test_it_outputs_what_the_pipeline_and_the_administrator_need(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    assert outputs.keys() == {
        "StackVersion",
        "BucketName",
        "SageMakerRoleArn",
        "FunctionRoleArn",
        "AirflowPolicyArn",
        "AirflowServingPolicyArn",
        "AirflowEc2PolicyArn",
        "AirflowPagesPolicyArn",
        "TrainingInstanceProfileArn",
        "WorkspaceRoleArn",
        "TopicArn",
    }


def test_the_api_server_may_read_pages_alone(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    statements = policy_statements(aws, outputs["AirflowPagesPolicyArn"])
    (pages,) = [statement for statement in statements if "s3:GetObject" in actions(statement)]
    for path in (
        "runs/manual/report.html",
        "data/0123/report.html",
        "evaluate/job/pictures/0.png",
        "tuning/job/pictures/trials.svg",
        "runs/manual/summary.json",
        "data/0123/train/robin/1.jpg",
        "training/job/output/model.tar.gz",
    ):
        arn = f"arn:aws:s3:::{outputs['BucketName']}/birds/{path}"
        allowed = any(fnmatchcase(arn, resource) for resource in pages["Resource"])
        assert allowed == (content_type(path) is not None), path
    granted = sorted(action for statement in statements for action in actions(statement))
    assert granted == ["cloudformation:DescribeStacks", "s3:GetObject", "s3:ListBucket"]


def test_the_bucket_is_encrypted(aws: boto3.Session) -> None:
    bucket = deploy(aws)["BucketName"]
    encryption = aws.client("s3").get_bucket_encryption(Bucket=bucket)
    [rule] = encryption["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


# moto's CloudFormation makes the bucket without these three, so the template itself has to be asked.
def test_the_bucket_is_closed_to_the_public() -> None:
    block = template()["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
    )


def test_unfinished_uploads_do_not_cost_money_for_ever() -> None:
    [rule] = template()["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_the_bucket_is_denied_to_everyone_without_tls_unless_local_aws_asks_otherwise() -> None:
    document = template()
    policy = document["Resources"]["BucketPolicy"]
    [statement] = policy["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert document["Conditions"][policy["Condition"]] == {"Fn::Equals": [{"Ref": "EnforceTls"}, "true"]}
    assert document["Parameters"]["EnforceTls"]["Default"] == "true"


def test_local_aws_can_do_without_tls(aws: boto3.Session) -> None:
    bucket = deploy(aws, EnforceTls="false")["BucketName"]
    aws.client("s3").put_object(Bucket=bucket, Key="key", Body=b"")


@pytest.mark.parametrize(
    ("output", "service"),
    [
        ("SageMakerRoleArn", "sagemaker.amazonaws.com"),
        ("WorkspaceRoleArn", "sagemaker.amazonaws.com"),
        ("FunctionRoleArn", "lambda.amazonaws.com"),
    ],
)
def test_a_role_can_be_assumed_by_its_service_alone(aws: boto3.Session, output: str, service: str) -> None:
    role = aws.client("iam").get_role(RoleName=deploy(aws)[output].split("/")[-1])["Role"]
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": service}


def instance_role(aws: boto3.Session, outputs: dict[str, str]) -> str:
    """The ARN of the one role of the instance profile."""
    profile = outputs["TrainingInstanceProfileArn"].split("/")[-1]
    [role] = aws.client("iam").get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    return role["Arn"]


def roles(aws: boto3.Session, outputs: dict[str, str]) -> list[str]:
    """The ARNs of all roles."""
    named = [outputs[f"{name}RoleArn"] for name in ("SageMaker", "Workspace", "Function")]
    return [*named, instance_role(aws, outputs)]


def test_an_instance_takes_commands_and_asks_systems_manager_for_nothing_else(aws: boto3.Session) -> None:
    statements = role_statements(aws, instance_role(aws, deploy(aws)))
    unlimited = {
        action for statement in statements if statement["Resource"] == "*" for action in actions(statement)
    }
    assert {action for action in unlimited if action.startswith("ssm:")} == {"ssm:UpdateInstanceInformation"}
    services = {action.split(":")[0] for statement in statements for action in actions(statement)}
    assert services == {"ec2messages", "logs", "s3", "ssm", "ssmmessages"}


@pytest.mark.parametrize("of", ["SageMakerRoleArn", "WorkspaceRoleArn", "TrainingInstanceProfileArn"])
def test_jobs_reach_this_bucket_and_no_other(aws: boto3.Session, of: str) -> None:
    outputs = deploy(aws)
    bucket = f"arn:aws:s3:::{outputs['BucketName']}"
    role = instance_role(aws, outputs) if of == "TrainingInstanceProfileArn" else outputs[of]
    statements = role_statements(aws, role)
    on_s3 = [statement for statement in statements if actions(statement)[0].startswith("s3:")]
    assert {statement["Resource"] for statement in on_s3} == {bucket, f"{bucket}/*"}


def test_the_function_asks_only_endpoints_of_the_pipeline(aws: boto3.Session) -> None:
    statements = role_statements(aws, deploy(aws)["FunctionRoleArn"])
    [invoke] = [statement for statement in statements if "sagemaker:InvokeEndpoint" in actions(statement)]
    assert invoke["Condition"] == {"StringEquals": {"aws:ResourceTag/managed-by": "airflow"}}


def test_airflow_gives_each_role_only_to_its_service(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    passes = {
        role: statement["Condition"]["StringEquals"]["iam:PassedToService"]
        for statement in airflow_statements(aws, outputs)
        if "iam:PassRole" in actions(statement)
        for role in _listed(statement["Resource"])
    }
    assert passes == {
        outputs["SageMakerRoleArn"]: "sagemaker.amazonaws.com",
        outputs["WorkspaceRoleArn"]: "sagemaker.amazonaws.com",
        outputs["FunctionRoleArn"]: "lambda.amazonaws.com",
        instance_role(aws, outputs): "ec2.amazonaws.com",
    }


def test_a_workspace_trains_and_changes_only_what_carries_the_tag(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    statements = {
        action: statement
        for statement in role_statements(aws, outputs["WorkspaceRoleArn"])
        for action in actions(statement)
    }
    changing = re.compile(r"\w+:(Create(?!Log)|Invoke|Stop|Update|Delete)")
    assert {action: statements[action]["Condition"] for action in statements if changing.match(action)} == {
        "sagemaker:CreateTrainingJob": {"StringEquals": {"aws:RequestTag/managed-by": "airflow"}},
        **dict.fromkeys(
            (
                "lambda:InvokeFunction",
                "sagemaker:InvokeEndpoint",
                "sagemaker:StopNotebookInstance",
                "sagemaker:StopTrainingJob",
            ),
            TAGGED,
        ),
    }
    assert statements["iam:PassRole"]["Resource"] == outputs["SageMakerRoleArn"]


def test_a_job_can_start_no_job_and_airflow_lets_nobody_into_a_notebook(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    of_jobs = role_statements(aws, outputs["SageMakerRoleArn"])
    of_airflow = airflow_statements(aws, outputs)
    assert not [action for item in of_jobs for action in actions(item) if action.startswith("sagemaker:")]
    assert not [action for item in of_airflow for action in actions(item) if "PresignedNotebook" in action]


def test_airflow_changes_only_what_carries_its_tag(aws: boto3.Session) -> None:
    changes = re.compile(r"(sagemaker|lambda|ec2):(Delete|Stop|Terminate|Update)")
    statements = airflow_statements(aws, deploy(aws))
    changing = [statement for statement in statements if any(map(changes.match, actions(statement)))]
    assert [statement["Condition"] for statement in changing] == [TAGGED] * 4


def test_airflow_registers_versions_whose_tags_aws_may_not_know_yet_but_in_no_group_of_others(
    aws: boto3.Session,
) -> None:
    statements = airflow_statements(aws, deploy(aws))
    (registering,) = [item for item in statements if "sagemaker:CreateModelPackage" in actions(item)]
    assert registering["Condition"] == {"StringEqualsIfExists": TAGGED["StringEquals"]}
    assert registering["Resource"].endswith(":model-package/*")


def test_airflow_launches_tagged_instances_with_encrypted_volumes_and_its_own_security_groups_alone(
    aws: boto3.Session,
) -> None:
    launching = {
        statement["Resource"].rpartition(":")[2]: statement.get("Condition", {})
        for statement in policy_statements(aws, deploy(aws)["AirflowEc2PolicyArn"])
        if "ec2:RunInstances" in actions(statement) and isinstance(statement["Resource"], str)
    }
    tag = {"aws:RequestTag/managed-by": "airflow"}
    assert launching == {
        "instance/*": {"StringEquals": {**tag, "ec2:MetadataHttpTokens": "required"}},
        "volume/*": {"StringEquals": tag, "Bool": {"ec2:Encrypted": "true"}},
        "security-group/*": TAGGED,
    }


def test_airflow_opens_no_port_and_commands_no_instance_but_its_own(aws: boto3.Session) -> None:
    statements = policy_statements(aws, deploy(aws)["AirflowEc2PolicyArn"])
    allowed = {action for statement in statements for action in actions(statement)}
    assert not [action for action in allowed if "SecurityGroupIngress" in action or "Authorize" in action]
    commanding = {
        statement["Resource"].rpartition(":")[2]: statement.get("Condition")
        for statement in statements
        if "ssm:SendCommand" in actions(statement)
    }
    assert commanding == {
        "instance/*": {"StringEquals": {"ssm:resourceTag/managed-by": "airflow"}},
        "document/AWS-RunShellScript": None,
    }


def test_airflow_tags_only_what_it_makes_its_endpoints_and_jobs(aws: boto3.Session) -> None:
    statements = airflow_statements(aws, deploy(aws))
    tagging = [statement for statement in statements if "sagemaker:AddTags" in actions(statement)]
    on_creation, on_endpoints, on_jobs = tagging
    assert on_creation["Condition"] == {"Null": {"sagemaker:TaggingAction": "false"}}
    assert on_endpoints["Resource"].endswith(":endpoint/*")
    assert on_endpoints["Condition"] == TAGGED
    assert all(re.search(r":[a-z-]+-job/\*$", resource) for resource in on_jobs["Resource"])


def test_no_statement_allows_everything(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    statements = airflow_statements(aws, outputs)
    for role in roles(aws, outputs):
        statements += role_statements(aws, role)
    assert [action for statement in statements for action in actions(statement) if "*" in action] == []


def test_all_resources_means_reading_logging_in_or_limited_by_a_condition(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    statements = airflow_statements(aws, outputs)
    statements += role_statements(aws, outputs["SageMakerRoleArn"])
    statements += role_statements(aws, outputs["WorkspaceRoleArn"])
    unlimited = [item for item in statements if item["Resource"] == "*" and "Condition" not in item]
    verbs = {action.split(":")[1] for statement in unlimited for action in actions(statement)}
    assert {verb for verb in verbs if not verb.startswith(("Describe", "Get", "List"))} == set()


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_for_airflow_fits_into_a_managed_policy(aws: boto3.Session, policy: str) -> None:
    statements = policy_statements(aws, deploy(aws)[policy])
    document = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    assert len(document) < LONGEST_MANAGED_POLICY - ROOM_FOR_LONGER_NAMES


def test_airflow_may_tell_the_topic_and_delete_logs_of_lambda_sagemaker_and_its_own_alone(
    aws: boto3.Session,
) -> None:
    outputs = deploy(aws)
    statements = {
        action: statement for statement in airflow_statements(aws, outputs) for action in actions(statement)
    }
    assert statements["sns:Publish"]["Resource"] == outputs["TopicArn"]
    deleting = [
        statement
        for statement in airflow_statements(aws, outputs)
        if "logs:DeleteLogGroup" in actions(statement)
    ]
    resources = [resource for statement in deleting for resource in _listed(statement["Resource"])]
    groups = {resource.partition(":log-group:")[2] for resource in resources}
    assert groups == {"/aws/lambda/*", "/aws/sagemaker/*", "/image-classifier/*"}


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_airflow_may_not_take_its_own_stack_away(aws: boto3.Session) -> None:
    allowed = {action for item in airflow_statements(aws, deploy(aws)) for action in actions(item)}
    assert {action for action in allowed if action.startswith(("cloudformation:", "iam:Delete"))} == {
        "cloudformation:DescribeStacks"
    }


def test_what_the_stack_makes_says_what_manages_it(aws: boto3.Session) -> None:
    outputs = deploy(aws)
    wanted = {"Key": "managed-by", "Value": "cloudformation"}
    assert wanted in aws.client("s3").get_bucket_tagging(Bucket=outputs["BucketName"])["TagSet"]
    # moto's CloudFormation makes topics without tags.
    assert wanted in template()["Resources"]["Topic"]["Properties"]["Tags"]
    for role in roles(aws, outputs):
        name = role.split("/")[-1]
        assert wanted in aws.client("iam").list_role_tags(RoleName=name)["Tags"]


OF_THIS_ACCOUNT = {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}


@pytest.mark.parametrize(
    ("role", "service", "condition"),
    [
        # https://docs.aws.amazon.com/sagemaker/latest/dg/security-confused-deputy-prevention.html names training,
        # processing and inference, but neither tuning nor notebook instances: a missing key must not lock them out.
        ("SageMakerRole", "sagemaker", {"StringEqualsIfExists": OF_THIS_ACCOUNT}),
        ("WorkspaceRole", "sagemaker", {"StringEqualsIfExists": OF_THIS_ACCOUNT}),
        # aws/agent-toolkit-for-aws: lambda-trust-policy.json
        ("FunctionRole", "lambda", {"StringEquals": OF_THIS_ACCOUNT}),
        # EC2 names neither account nor ARN: prowler-cloud/prowler#2810
        ("TrainingInstanceRole", "ec2", None),
    ],
)
def test_a_service_assumes_a_role_for_this_account_alone(
    role: str, service: str, condition: dict[str, Any] | None
) -> None:
    [statement] = template()["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}
    assert statement.get("Condition") == condition


class TestServingImage:
    """The part of the stack that builds the serving image, which is left out by default."""

    def resources(self) -> dict[str, Any]:
        found = template()["Resources"].items()
        return {name: each for name, each in found if each.get("Condition") == "ServingImageIsWanted"}

    def test_it_is_left_out_by_default(self) -> None:
        document = template()
        assert document["Parameters"]["ServingImage"]["Default"] == "false"
        assert {name for name, each in document["Outputs"].items() if "Condition" in each} == {
            "ServingRepositoryUri",
            "ServingBuild",
        }
        assert len(self.resources()) == 6

    def test_images_are_scanned_and_those_that_models_may_name_are_kept(self) -> None:
        repository = self.resources()["ServingRepository"]["Properties"]
        assert repository["ImageScanningConfiguration"] == {"ScanOnPush": True}
        untagged, tagged = json.loads(repository["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        assert untagged["selection"]["tagStatus"] == "untagged"
        assert (tagged["selection"]["countType"], tagged["selection"]["countNumber"]) == (
            "imageCountMoreThan",
            500,
        )

    def test_each_build_gives_a_tag_of_its_own_before_that_of_its_content(self) -> None:
        build = self.resources()["ServingBuild"]["Properties"]["Source"]["BuildSpec"]
        commands = yaml.safe_load(build)["phases"]["build"]["commands"]
        assert re.search(
            r'for tag in "build-.*CODEBUILD_BUILD_NUMBER" "content-\$\(cat content\)"', commands[-1]
        )

    def test_the_build_is_repeated_every_week(self) -> None:
        rule = self.resources()["ServingRebuild"]["Properties"]
        assert rule["ScheduleExpression"] == "cron(0 3 ? * SUN *)"
        assert rule["Targets"][0]["Arn"] == {"Fn::GetAtt": ["ServingBuild", "Arn"]}

    def test_its_roles_may_do_their_work_alone(self) -> None:
        granted = {
            name: {
                action
                for policy in self.resources()[name]["Properties"]["Policies"]
                for statement in policy["PolicyDocument"]["Statement"]
                for action in actions(statement)
            }
            for name in ("ServingBuildRole", "ServingRebuildRole")
        }
        assert granted["ServingRebuildRole"] == {"codebuild:StartBuild"}
        assert {action.partition(":")[0] for action in granted["ServingBuildRole"]} == {"ecr", "logs", "s3"}
        assert not {action for action in granted["ServingBuildRole"] if "Delete" in action or "*" in action}
        assert "s3:PutObject" not in granted["ServingBuildRole"]
