"""The reach into moto's CloudFormation: does what a template asks for, or refuses it as AWS refuses."""

import json
from collections.abc import Callable
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import CloudFormationError, ValidationError
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.responses import CloudFormationResponse
from moto.core.responses import ActionResult
from moto.iam.models import Role
from moto.s3.models import FakeBucket
from moto.sns.models import Topic
from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config

_IAM_NAMES = {
    "AWS::IAM::AccessKey": "",
    "AWS::IAM::Group": "GroupName",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Policy": "",
    "AWS::IAM::Role": "RoleName",
    "AWS::IAM::User": "UserName",
    "AWS::IAM::UserToGroupAddition": "",
}
"""The types that need a capability, and the property that gives one a name of its own."""

_BUCKET_OF_MOTO = frozenset({"BucketEncryption", "BucketName", "Tags"})
_create_topic_by_moto = Topic.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
_put_role_policy_by_moto = Role.put_policy
_execute_by_moto = CloudFormationBackend.execute_change_set
_update_by_moto = parsing.ResourceMap.update


class InsufficientCapabilitiesException(CloudFormationError):
    """A template makes IAM resources, and the request does not acknowledge it."""

    code = "InsufficientCapabilitiesException"


class CloudFormation:
    """CloudFormation, which moto answers."""

    def __init__(self, config: Config) -> None:
        _set_up_buckets(config)
        Stack.stack_resources = property(_made_resources)  # type: ignore[method-assign,assignment]
        Topic.create_from_cloudformation_json = classmethod(_create_topic)  # type: ignore[method-assign,assignment]
        Role.put_policy = _put_role_policy  # type: ignore[method-assign, assignment]
        parsing.ResourceMap.update = _update_resources  # type: ignore[method-assign, assignment]
        CloudFormationBackend.execute_change_set = _execute_change_set  # type: ignore[method-assign, assignment]
        for name in ("create_stack", "update_stack", "create_change_set"):
            setattr(CloudFormationResponse, name, _checked(getattr(CloudFormationResponse, name)))

    def respond(self, request: Request) -> Response | None:
        """Leave every request to moto."""
        return None

    def close(self) -> None:
        """Do nothing: nothing runs in the background."""


def _checked(by_moto: Callable[[CloudFormationResponse], ActionResult]) -> Callable[..., ActionResult]:
    def answer(response: CloudFormationResponse) -> ActionResult:
        body = response._get_param("TemplateBody")
        if not body and response._get_param("TemplateURL"):
            body = response._get_stack_from_s3_url(response._get_param("TemplateURL"))
        if body:
            check_template(Stack.parse_template(body), response._get_param("Capabilities", []))
        if by_moto.__name__ == "create_change_set":
            # AWS makes a change set without changes, and says of it that it failed. moto refuses the request.
            response._validate_different_update = lambda *_: None  # type: ignore[method-assign]
        return by_moto(response)

    return answer


def check_template(template: dict[str, Any], capabilities: list[str]) -> None:
    """Check that a template asks for nothing that would be ignored, and for nothing that is not acknowledged.

    :raises CloudFormationError: as AWS answers
    """
    resources: dict[str, Any] = template.get("Resources") or {}
    types = {resource.get("Type", "") for resource in resources.values()}
    unknown = sorted(
        each
        for each in types - set(parsing.NULL_MODELS) - parsing.get_model_map().keys()
        if not each.startswith("Custom::")
    )
    if unknown:
        raise ValidationError(
            message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]"
        )
    for logical_id, resource in resources.items():
        if resource["Type"] == FakeBucket.cloudformation_type():
            _check_bucket(logical_id, resource.get("Properties", {}))
    needed = _needed_capability(resources)
    if needed and not {needed, "CAPABILITY_NAMED_IAM"} & set(capabilities):
        raise InsufficientCapabilitiesException(f"Requires capabilities : [{needed}]")


def _needed_capability(resources: dict[str, Any]) -> str | None:
    found = [resource for resource in resources.values() if resource["Type"] in _IAM_NAMES]
    if any(_IAM_NAMES[resource["Type"]] in resource.get("Properties", {}) for resource in found):
        return "CAPABILITY_NAMED_IAM"
    return "CAPABILITY_IAM" if found else None


def _check_bucket(logical_id: str, properties: dict[str, Any]) -> None:
    unknown = sorted(properties.keys() - _BUCKET_OF_MOTO - _BUCKET_CALLS.keys())
    if unknown:
        raise ValidationError(
            message=f"Local AWS does not implement {', '.join(unknown)} of the bucket {logical_id}. Leave it out."
        )


def _execute_change_set(
    backend: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    """Execute a change set, and show the outputs of the stack's new template, which moto forgets."""
    change_set = backend.describe_change_set(change_set_name)
    _execute_by_moto(backend, change_set_name, stack_name)
    if change_set is not None:
        stack = backend.stacks[change_set.stack_id]
        stack._parse_template()
        stack.parameters = change_set.parameters
        stack.output_map = stack._create_output_map()


def _put_role_policy(role: Role, policy_name: str, policy_json: Any) -> None:
    """Keep the inline policy of a template's role as JSON; moto keeps and shows a Python dictionary."""
    text = policy_json if isinstance(policy_json, str) else json.dumps(policy_json)
    _put_role_policy_by_moto(role, policy_name, text)


def _made_resources(stack: Stack) -> list[Any]:
    """Return a stack's resources without those whose condition is false, which moto lists without a name."""
    return [resource for resource in stack.resource_map.values() if resource is not None]


def _create_topic(
    cls: Any, resource_name: str, cloudformation_json: Any, *place: Any, **members: Any
) -> Topic:
    """Create a topic with its tags, which moto drops."""
    topic: Topic = _create_topic_by_moto(cls, resource_name, cloudformation_json, *place, **members)
    tags = cloudformation_json["Properties"].get("Tags", [])
    topic._tags = {tag["Key"]: tag["Value"] for tag in tags}
    return topic


def _update_resources(
    resources: parsing.ResourceMap, template: dict[str, Any], parameters: dict[str, Any] | None = None
) -> None:
    """Update a stack's resources, and make or delete those whose condition has changed, which moto leaves."""
    _update_by_moto(resources, template, parameters)
    for name, resource in template["Resources"].items():
        if "Condition" not in resource:
            continue
        is_wanted, made = (
            resources.lazy_condition_map[resource["Condition"]],
            resources._parsed_resources.get(name),
        )
        if is_wanted and made is None:
            resources._parsed_resources.pop(name, None)
            _ = resources[name]
        elif made is not None and not is_wanted:
            resources._delete_resource(made, resource)
            resources._parsed_resources.pop(name)


def _set_up_buckets(config: Config) -> None:
    """Have CloudFormation set what moto drops of a bucket's properties, by calls to S3 as anyone makes them."""
    # Not at the head of this module: moto makes resources of every class that is a subclass of its own.
    from include.local_aws.bucket_policy import BucketPolicy

    BucketPolicy.s3 = staticmethod(lambda: config.client("s3"))
    parsing.get_model_list.cache_clear()
    parsing.get_model_map.cache_clear()
    parsing.get_name_type_map.cache_clear()
    create_by_moto = FakeBucket.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]
    update_by_moto = FakeBucket.update_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create(
        cls: Any, resource_name: str, cloudformation_json: Any, *place: Any, **members: Any
    ) -> FakeBucket:
        bucket: FakeBucket = create_by_moto(cls, resource_name, cloudformation_json, *place, **members)
        _set_properties(config.client("s3"), bucket.name, cloudformation_json.get("Properties", {}))
        return bucket

    def update(
        cls: Any, original: Any, name: str, cloudformation_json: Any, *place: Any, **members: Any
    ) -> FakeBucket:
        bucket: FakeBucket = update_by_moto(cls, original, name, cloudformation_json, *place, **members)
        _set_properties(config.client("s3"), bucket.name, cloudformation_json.get("Properties", {}))
        return bucket

    FakeBucket.create_from_cloudformation_json = classmethod(create)  # type: ignore[method-assign,assignment]
    FakeBucket.update_from_cloudformation_json = classmethod(update)  # type: ignore[method-assign,assignment]


def _set_properties(s3: Any, bucket: str, properties: dict[str, Any]) -> None:
    for name, put in _BUCKET_CALLS.items():
        if name in properties:
            put(s3, bucket, properties[name])


def _put_public_access_block(s3: Any, bucket: str, value: Any) -> None:
    flags = {name: _is_true(flag) for name, flag in value.items()}
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=flags)


def _put_ownership(s3: Any, bucket: str, value: Any) -> None:
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=value)


def _put_versioning(s3: Any, bucket: str, value: Any) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=value)


def _put_lifecycle(s3: Any, bucket: str, value: Any) -> None:
    rules = []
    for rule in value["Rules"]:
        abort = rule.get("AbortIncompleteMultipartUpload")
        unknown = rule.keys() - {
            "Id",
            "Status",
            "Prefix",
            "ExpirationInDays",
            "AbortIncompleteMultipartUpload",
        }
        if unknown:
            raise ValidationError(
                message=f"Local AWS does not implement {', '.join(sorted(unknown))} of LifecycleConfiguration."
            )
        rules.append(
            {
                "ID": rule.get("Id", ""),
                "Status": rule["Status"],
                "Filter": {"Prefix": rule.get("Prefix", "")},
                **(
                    {"Expiration": {"Days": int(rule["ExpirationInDays"])}}
                    if "ExpirationInDays" in rule
                    else {}
                ),
                **(
                    {
                        "AbortIncompleteMultipartUpload": {
                            "DaysAfterInitiation": int(abort["DaysAfterInitiation"])
                        }
                    }
                    if abort
                    else {}
                ),
            }
        )
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})


def _is_true(flag: Any) -> bool:
    return str(flag).lower() == "true"


_BUCKET_CALLS: dict[str, Callable[[Any, str, Any], None]] = {
    "LifecycleConfiguration": _put_lifecycle,
    "OwnershipControls": _put_ownership,
    "PublicAccessBlockConfiguration": _put_public_access_block,
    "VersioningConfiguration": _put_versioning,
}
