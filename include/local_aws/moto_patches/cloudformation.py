"""CloudFormation: do what a template requests, or refuse it as AWS does."""

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

from include.local_aws.config import Config
from include.local_aws.moto_patches import original, replace

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
"""The types that need a capability, and the property with a custom name."""

_BUCKET_OF_MOTO = frozenset({"BucketEncryption", "BucketName", "Tags"})
_create_topic_by_moto = original(Topic, "create_from_cloudformation_json")
_create_bucket_by_moto = original(FakeBucket, "create_from_cloudformation_json")
_update_bucket_by_moto = original(FakeBucket, "update_from_cloudformation_json")
_put_role_policy_by_moto = original(Role, "put_policy")
_execute_by_moto = original(CloudFormationBackend, "execute_change_set")
_update_by_moto = original(parsing.ResourceMap, "update")
_check_for_changes_by_moto = original(CloudFormationResponse, "_validate_different_update")


class InsufficientCapabilitiesException(CloudFormationError):
    """A template creates IAM resources, and the request has no capability for it."""

    code = "InsufficientCapabilitiesException"


def apply(config: Config) -> None:
    """Replace the methods, and add the resource types that moto does not have."""
    # Not at the head of this module: moto creates resources of every subclass of its CloudFormationModel.
    from include.local_aws.moto_patches import codebuild_project as codebuild_project
    from include.local_aws.moto_patches.bucket_policy import BucketPolicy

    BucketPolicy.s3 = staticmethod(lambda: config.client("s3"))
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()
    _replace_buckets(config)
    replace(Stack, "has_parameters", _has_parameters)
    replace(Stack, "stack_resources", _made_resources)
    replace(Topic, "create_from_cloudformation_json", _create_topic)
    replace(Role, "put_policy", _put_role_policy)
    replace(parsing.ResourceMap, "update", _update_resources)
    replace(CloudFormationBackend, "execute_change_set", _execute_change_set)
    replace(CloudFormationResponse, "_validate_different_update", _check_for_changes)
    for name in ("create_stack", "update_stack", "create_change_set"):
        replace(CloudFormationResponse, name, _checked(original(CloudFormationResponse, name)))


def _has_parameters(stack: Stack, others: dict[str, Any]) -> bool:
    """Return whether a stack has these parameters, with the defaults of the others."""
    defaults = {
        name: str(parameter["Default"])
        for name, parameter in stack.template_dict.get("Parameters", {}).items()
        if "Default" in parameter
    }
    return {**defaults, **stack.parameters} == {**defaults, **others}


def _checked(by_moto: Callable[[CloudFormationResponse], ActionResult]) -> Callable[..., ActionResult]:
    def answer(response: CloudFormationResponse) -> ActionResult:
        body = response._get_param("TemplateBody")
        if not body and response._get_param("TemplateURL"):
            body = response._get_stack_from_s3_url(response._get_param("TemplateURL"))
        if body:
            check_template(Stack.parse_template(body), response._get_param("Capabilities", []))
        return by_moto(response)

    return answer


def _check_for_changes(response: CloudFormationResponse, *arguments: Any) -> None:
    """Refuse an update without changes; AWS accepts such a change set, which then fails, but moto refuses it."""
    if not response._get_param("ChangeSetName"):
        _check_for_changes_by_moto(response, *arguments)


def check_template(template: dict[str, Any], capabilities: list[str]) -> None:
    """Check that local AWS implements a template, and that the request has the capabilities for it.

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
        if resource["Type"].startswith("AWS::SageMaker::"):
            raise ValidationError(
                message=f"Local AWS does not implement {resource['Type']} of {logical_id} in templates. Create it with "
                "SageMaker's API."
            )
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
    """Execute a change set, and update the outputs of the stack, which moto does not."""
    change_set = backend.describe_change_set(change_set_name)
    _execute_by_moto(backend, change_set_name, stack_name)
    if change_set is not None:
        stack = backend.stacks[change_set.stack_id]
        stack._parse_template()
        stack.parameters = change_set.parameters
        stack.output_map = stack._create_output_map()


def _put_role_policy(role: Role, policy_name: str, policy_json: Any) -> None:
    """Store the inline policy of a template's role as JSON; moto stores and returns a Python dictionary."""
    text = policy_json if isinstance(policy_json, str) else json.dumps(policy_json)
    _put_role_policy_by_moto(role, policy_name, text)


def _made_resources(stack: Stack) -> list[Any]:
    """Return the resources of a stack without those whose condition is false, which moto lists without a name."""
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
    """Update the resources of a stack; create or delete those whose condition has changed, which moto does not."""
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


def _replace_buckets(config: Config) -> None:
    """Set the properties of a bucket that moto drops, by calls to S3."""

    def create(cls: Any, name: str, cloudformation_json: Any, *place: Any, **members: Any) -> FakeBucket:
        bucket: FakeBucket = _create_bucket_by_moto(cls, name, cloudformation_json, *place, **members)
        _set_properties(config.client("s3"), bucket.name, cloudformation_json.get("Properties", {}))
        return bucket

    def update(cls: Any, *, cloudformation_json: Any, **members: Any) -> FakeBucket:
        bucket: FakeBucket = _update_bucket_by_moto(cls, cloudformation_json=cloudformation_json, **members)
        _set_properties(config.client("s3"), bucket.name, cloudformation_json.get("Properties", {}))
        return bucket

    replace(FakeBucket, "create_from_cloudformation_json", create)
    replace(FakeBucket, "update_from_cloudformation_json", update)


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
