"""Map recorded calls to what IAM is asked: action, ARN of the resource, and condition context.

The tags of a resource are those with which the calls before have created and tagged it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.include.infrastructure import reference

ACCOUNT = "123456789012"
Call = dict[str, Any]
Tags = dict[str, str]

NO_PERMISSION_NEEDED = {"GetCallerIdentity"}
SAGEMAKER_TYPES = {
    "EndpointName": "endpoint",
    "EndpointConfigName": "endpoint-config",
    "ModelName": "model",
    "TrainingJobName": "training-job",
    "ProcessingJobName": "processing-job",
    "HyperParameterTuningJobName": "hyper-parameter-tuning-job",
    "ModelPackageGroupName": "model-package-group",
    "ModelPackageName": "model-package",
    "ModelPackageArn": "model-package",
    "NotebookInstanceName": "notebook-instance",
    "NotebookInstanceLifecycleConfigName": "notebook-instance-lifecycle-config",
    "LifecycleConfigName": "notebook-instance-lifecycle-config",
}
S3_ACTIONS = {
    "HeadObject": "GetObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "UploadPartCopy": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
}
# What AWS does with the permissions of the caller besides, by the docs of Application Auto Scaling.
SCALING_POLICY_NEEDS = ("cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms")
SCALABLE_TARGET_NEEDS = (
    "sagemaker:DescribeEndpoint",
    "sagemaker:DescribeEndpointConfig",
    "sagemaker:UpdateEndpointWeightsAndCapacities",
)


class UnknownCallError(Exception):
    """It is not known what IAM is asked for a call."""


@dataclass(frozen=True)
class IamRequest:
    """One question to IAM."""

    principal: str
    action: str
    resource: str = "*"
    context: tuple[tuple[str, str], ...] = field(default=())


class Account:
    """What the calls so far have made, as far as conditions of policies ask for it.

    :param stack_id: the ARN of the stack.
    """

    def __init__(self, stack_id: str) -> None:
        self.stack_id = stack_id
        self.tags: dict[str, Tags] = {}
        self.created_with: dict[str, Tags] = {}
        self.last: dict[str, Tags] = {}
        """By type of EC2 resource, the tags of the last that was made: their IDs are in no request."""

    def tags_of(self, arn: str) -> Tags:
        kind = arn.split(":", 5)[5].partition("/")[0]
        if kind == "model-package":  # a versioned one uses the tags of its group
            group = arn.replace(":model-package/", ":model-package-group/").rpartition("/")[0]
            return self.tags.get(group, {})
        if kind == "function":
            return self.tags.get(":".join(arn.split(":")[:7]), {})
        if kind == "training-job" and arn not in self.tags:  # a trial has the tags of its tuning job
            tuning = arn.replace(":training-job/", ":hyper-parameter-tuning-job/").rsplit("-", 2)[0]
            return self.created_with.get(tuning, {})
        return self.tags.get(arn, self.last.get(kind, {}))


def requests(calls: Iterable[Call], stack_id: str) -> Iterator[IamRequest]:
    """Yield what IAM is asked for the calls, in their order.

    :raises UnknownCallError: if a call is of an operation that is not mapped.
    """
    account = Account(stack_id)
    for call in calls:
        if call["principal"] is None or call["operation"] in NO_PERMISSION_NEEDED:
            continue
        mapped = SERVICES.get(call["service"])
        if mapped is None or call["operation"] is None:
            raise UnknownCallError(f"{call['service']}: {call['method']} {call['path']}")
        for action, resource, context in mapped(Arns(call["region"]), call, account):
            yield IamRequest(call["principal"], action, resource, tuple(sorted(context.items())))


class Arns:
    """Builds the ARNs of a region."""

    def __init__(self, region: str) -> None:
        self.region = region

    def __call__(self, service: str, name: str, account: str = ACCOUNT) -> str:
        return name if name.startswith("arn:") else f"arn:aws:{service}:{self.region}:{account}:{name}"


Asked = Iterator[tuple[str, str, Mapping[str, str]]]


def tag_list(tags: Iterable[Mapping[str, str]]) -> Tags:
    return {tag["Key"]: tag["Value"] for tag in tags}


def prefixed(prefix: str, tags: Mapping[str, str]) -> Tags:
    return {f"{prefix}/{key}": value for key, value in tags.items()}


def sagemaker(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"sagemaker:{operation}"
    if not reference.types(action) or operation == "ListModelPackages":
        yield action, "*", {}
        return
    named = [
        arns(
            "sagemaker",
            f"{kind}/{parameters[member]}" if ":" not in parameters[member] else parameters[member],
        )
        for member, kind in SAGEMAKER_TYPES.items()
        if member in parameters and kind in reference.types(action)
    ]
    if operation == "CreateModelPackage":
        named = [
            arns("sagemaker", f"model-package/{parameters['ModelPackageGroupName'].rpartition('/')[2]}/1")
        ]
    if "ResourceArn" in parameters:
        named = [parameters["ResourceArn"]]
    if not named:
        raise UnknownCallError(f"{action}: {parameters}")
    tags = tag_list(parameters.get("Tags", []))
    for arn in named:
        yield (
            action,
            arn,
            prefixed("aws:RequestTag", tags) | prefixed("aws:ResourceTag", account.tags_of(arn)),
        )
    created = named[0]
    if operation.startswith("Create") and tags:
        # The check of the tags that a call makes with what it creates.
        yield (
            "sagemaker:AddTags",
            created,
            {"sagemaker:TaggingAction": operation, **prefixed("aws:RequestTag", tags)},
        )
    for member in ("RoleArn", "ExecutionRoleArn"):
        for role in _found(parameters, member):
            yield "iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"}
    if operation == "CreateModelPackage":
        for image in _found(parameters, "Image"):
            registry, _, rest = image.partition("/")
            arn = f"arn:aws:ecr:{arns.region}:{registry.split('.')[0]}:repository/{rest.partition(':')[0]}"
            yield "ecr:BatchGetImage", arn, {}
            yield "ecr:DescribeImages", arn, {}
    if call["status"] >= 400:
        return
    if operation.startswith("Create"):
        account.tags[created] = account.created_with[created] = tags
    elif operation == "AddTags":
        account.tags[created] = account.tags_of(created) | tags
    elif operation == "DeleteTags":
        gone = parameters["TagKeys"]
        account.tags[created] = {
            key: value for key, value in account.tags_of(created).items() if key not in gone
        }
    elif operation.startswith("Delete"):
        account.tags.pop(created, None)


def _found(value: Any, member: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == member and isinstance(inner, str):
                yield inner
            else:
                yield from _found(inner, member)
    elif isinstance(value, list):
        for inner in value:
            yield from _found(inner, member)


def sagemaker_runtime(arns: Arns, call: Call, account: Account) -> Asked:
    arn = arns("sagemaker", f"endpoint/{call['parameters']['EndpointName']}")
    yield f"sagemaker:{call['operation']}", arn, prefixed("aws:ResourceTag", account.tags_of(arn))


def awslambda(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = "lambda:InvokeFunction" if operation == "Invoke" else f"lambda:{operation}"
    name = parameters.get("FunctionName") or parameters.get("Resource")
    if name is None:
        yield action, "*", {}
        return
    arn = arns("lambda", name if name.startswith("arn:") else f"function:{name}")
    qualifier = parameters.get("Qualifier")
    tags = parameters.get("Tags", {})
    context = prefixed("aws:RequestTag", tags) | prefixed("aws:ResourceTag", account.tags_of(arn))
    if "function" not in reference.types(action):
        # The simulator can't tell an alias from a version by its ARN, and asks for all of them.
        yield action, f"{arn}:*", context
    else:
        # The other actions know the function alone, whichever alias is named; Invoke knows both.
        yield action, f"{arn}:{qualifier}" if qualifier and operation == "Invoke" else arn, context
    if operation == "CreateFunction":
        yield "iam:PassRole", parameters["Role"], {"iam:PassedToService": "lambda.amazonaws.com"}
        if tags:
            yield "lambda:TagResource", arn, prefixed("aws:RequestTag", tags)
    if operation in ("CreateFunction", "TagResource") and call["status"] < 400:
        account.tags.setdefault(arn, {}).update(tags)


def s3(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    if operation == "ListBuckets":
        yield "s3:ListAllMyBuckets", "*", {}
        return
    bucket = f"arn:aws:s3:::{parameters['Bucket']}"
    if operation == "DeleteObjects":
        for item in parameters["Delete"]["Objects"]:
            yield "s3:DeleteObject", f"{bucket}/{item['Key']}", {}
        return
    action = f"s3:{S3_ACTIONS.get(operation, operation)}"
    yield action, f"{bucket}/{parameters['Key']}" if "object" in reference.types(action) else bucket, {}
    if "CopySource" in parameters:
        yield "s3:GetObject", f"arn:aws:s3:::{str(parameters['CopySource']).lstrip('/')}", {}
    if parameters.get("Tagging") and operation in ("PutObject", "CopyObject", "CreateMultipartUpload"):
        yield "s3:PutObjectTagging", f"{bucket}/{parameters['Key']}", {}


def logs(arns: Arns, call: Call, account: Account) -> Asked:
    action, parameters = f"logs:{call['operation']}", call["parameters"]
    kinds = reference.types(action)
    if not kinds:
        yield action, "*", {}
        return
    group = arns("logs", f"log-group:{parameters.get('logGroupName') or parameters['logGroupIdentifier']}")
    stream = parameters.get("logStreamName", "*")
    yield action, f"{group}:log-stream:{stream}" if "log-stream" in kinds else group, {}


def cloudwatch(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"cloudwatch:{operation}"
    if "alarm" not in reference.types(action):
        namespace = parameters.get("Namespace") if operation == "PutMetricData" else None
        yield action, "*", {"cloudwatch:namespace": namespace} if namespace else {}
        return
    names = [*parameters.get("AlarmNames", []), *filter(None, [parameters.get("AlarmName")])]
    found = [arns("cloudwatch", f"alarm:{name}") for name in names or ["*"]]
    if "ResourceARN" in parameters:
        found = [parameters["ResourceARN"]]
    tags = tag_list(parameters.get("Tags", []))
    for arn in found:
        yield action, arn, prefixed("aws:RequestTag", tags)
        if operation == "PutMetricAlarm" and tags:
            yield "cloudwatch:TagResource", arn, prefixed("aws:RequestTag", tags)


def scaling(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"application-autoscaling:{operation}"
    if "ScalableTarget" not in reference.types(action):
        yield action, "*", {}
        return
    if "ResourceARN" in parameters:
        yield action, parameters["ResourceARN"], prefixed("aws:RequestTag", parameters.get("Tags", {}))
        return
    target = arns("application-autoscaling", "scalable-target/0a1b2c3d4e5f")
    context = {
        "application-autoscaling:service-namespace": parameters["ServiceNamespace"],
        "application-autoscaling:scalable-dimension": parameters["ScalableDimension"],
    }
    tags = parameters.get("Tags", {})
    yield action, target, context | prefixed("aws:RequestTag", tags)
    if tags:
        yield "application-autoscaling:TagResource", target, prefixed("aws:RequestTag", tags)
    endpoint = parameters["ResourceId"].split("/")[1]
    if operation == "RegisterScalableTarget":
        role = "aws-service-role/sagemaker.application-autoscaling.amazonaws.com"
        yield (
            "iam:CreateServiceLinkedRole",
            f"arn:aws:iam::{ACCOUNT}:role/{role}/AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint",
            {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
        )
        for needed in SCALABLE_TARGET_NEEDS:
            kind = "endpoint-config" if needed.endswith("Config") else "endpoint"
            arn = arns("sagemaker", f"{kind}/{endpoint}")
            tags_there = account.tags_of(arns("sagemaker", f"endpoint/{endpoint}"))
            yield needed, arn, prefixed("aws:ResourceTag", tags_there)
    if operation == "PutScalingPolicy":
        for needed in SCALING_POLICY_NEEDS:
            yield needed, arns("cloudwatch", f"alarm:TargetTracking-{parameters['ResourceId']}-AlarmHigh"), {}


def cloudformation(arns: Arns, call: Call, account: Account) -> Asked:
    yield f"cloudformation:{call['operation']}", account.stack_id, {}


def ec2(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"ec2:{operation}"
    if operation.startswith("Describe"):
        yield action, "*", {}
        return
    specified = {
        each["ResourceType"]: tag_list(each["Tags"]) for each in parameters.get("TagSpecifications", [])
    }
    if operation == "RunInstances":
        yield from _launch(arns, call, specified, account)
    elif operation == "CreateSecurityGroup":
        group = arns("ec2", "security-group/sg-0123456789abcdef0")
        yield action, group, prefixed("aws:RequestTag", specified.get("security-group", {}))
        yield action, arns("ec2", f"vpc/{parameters.get('VpcId', 'vpc-0123456789abcdef0')}"), {}
    elif operation == "TerminateInstances":
        for instance in parameters["InstanceIds"]:
            arn = arns("ec2", f"instance/{instance}")
            yield action, arn, prefixed("aws:ResourceTag", account.tags_of(arn))
    elif operation == "DeleteSecurityGroup":
        arn = arns("ec2", f"security-group/{parameters['GroupId']}")
        yield action, arn, prefixed("aws:ResourceTag", account.tags_of(arn))
    else:
        raise UnknownCallError(action)
    for kind, tags in specified.items():
        context = {"ec2:CreateAction": operation, **prefixed("aws:RequestTag", tags)}
        yield "ec2:CreateTags", arns("ec2", f"{kind}/*"), context
        account.last[kind] = tags


def _launch(arns: Arns, call: Call, specified: dict[str, Tags], account: Account) -> Asked:
    action, parameters = "ec2:RunInstances", call["parameters"]
    tokens = parameters.get("MetadataOptions", {}).get("HttpTokens", "optional")
    encrypted = [
        str(device["Ebs"].get("Encrypted", False)).lower()
        for device in parameters.get("BlockDeviceMappings", [])
        if "Ebs" in device
    ]
    requested = {kind: prefixed("aws:RequestTag", tags) for kind, tags in specified.items()}
    yield (
        action,
        arns("ec2", "instance/*"),
        {"ec2:MetadataHttpTokens": tokens, **requested.get("instance", {})},
    )
    for value in encrypted:
        yield action, arns("ec2", "volume/*"), {"ec2:Encrypted": value, **requested.get("volume", {})}
    yield action, arns("ec2", f"image/{parameters['ImageId']}", account=""), {}
    interfaces = parameters.get("NetworkInterfaces", [])
    subnets = [each["SubnetId"] for each in interfaces if "SubnetId" in each]
    subnet = parameters.get("SubnetId") or next(iter(subnets), "subnet-0123456789abcdef0")
    yield action, arns("ec2", f"subnet/{subnet}"), {}
    yield action, arns("ec2", "network-interface/*"), {}
    groups = parameters.get("SecurityGroupIds") or [
        group for each in interfaces for group in each.get("Groups", [])
    ]
    for group in groups or ["sg-default"]:
        arn = arns("ec2", f"security-group/{group}")
        yield action, arn, prefixed("aws:ResourceTag", account.tags_of(arn))
    if parameters.get("InstanceMarketOptions", {}).get("MarketType") == "spot":
        yield action, arns("ec2", "spot-instances-request/*"), requested.get("spot-instances-request", {})


def ssm(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"ssm:{operation}"
    if operation == "SendCommand":
        yield action, arns("ssm", f"document/{parameters['DocumentName']}", account=""), {}
        for instance in parameters["InstanceIds"]:
            arn = arns("ec2", f"instance/{instance}")
            yield action, arn, prefixed("ssm:resourceTag", account.tags_of(arn))
    elif operation in ("GetParameter", "GetParametersByPath"):
        name = parameters.get("Name") or parameters["Path"]
        owner = "" if name.startswith("/aws/service/") else ACCOUNT
        yield action, arns("ssm", f"parameter{name}", account=owner), {}
    else:
        yield action, "*", {}


def service_quotas(arns: Arns, call: Call, account: Account) -> Asked:
    operation, parameters = call["operation"], call["parameters"]
    action = f"servicequotas:{operation}"
    if reference.types(action):
        yield action, arns("servicequotas", f"{parameters['ServiceCode']}/{parameters['QuotaCode']}"), {}
    else:
        yield action, "*", {}


def sns(arns: Arns, call: Call, account: Account) -> Asked:
    parameters = call["parameters"]
    yield f"sns:{call['operation']}", parameters.get("TopicArn") or parameters["TargetArn"], {}


def ecr(arns: Arns, call: Call, account: Account) -> Asked:
    yield f"ecr:{call['operation']}", arns("ecr", f"repository/{call['parameters']['repositoryName']}"), {}


def codebuild(arns: Arns, call: Call, account: Account) -> Asked:
    parameters = call["parameters"]
    projects = [parameters["projectName"]] if "projectName" in parameters else parameters["ids"]
    for project in projects:  # an ID of a build begins with the name of its project
        yield f"codebuild:{call['operation']}", arns("codebuild", f"project/{project.partition(':')[0]}"), {}


def tagging(arns: Arns, call: Call, account: Account) -> Asked:
    yield f"tag:{call['operation']}", "*", {}


SERVICES: dict[str, Callable[[Arns, Call, Account], Asked]] = {
    "application-autoscaling": scaling,
    "cloudformation": cloudformation,
    "cloudwatch": cloudwatch,
    "codebuild": codebuild,
    "ec2": ec2,
    "ecr": ecr,
    "lambda": awslambda,
    "logs": logs,
    "resourcegroupstaggingapi": tagging,
    "s3": s3,
    "sagemaker": sagemaker,
    "sagemaker-runtime": sagemaker_runtime,
    "service-quotas": service_quotas,
    "sns": sns,
    "ssm": ssm,
}
