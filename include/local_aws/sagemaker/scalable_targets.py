"""Application Auto Scaling for endpoints: scalable targets, their policies and scheduled actions."""

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from werkzeug.wrappers import Request, Response

from include.local_aws import service_models
from include.local_aws.config import ACCOUNT_ID, Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import JsonOperations, members_of, page
from include.local_aws.sagemaker.documents import ENDPOINT, ENDPOINT_CONFIG, Document, Documents
from include.local_aws.sagemaker.scaling_activities import (
    DIMENSION,
    NAMESPACE,
    PAGE,
    PAGE_ERROR,
    ScalingActivities,
)

SERVICE = "application-autoscaling"
TARGET = "AnyScaleFrontendService."
BURSTABLE = ("ml.t2.", "ml.t3.", "ml.t4g.")
_SUSPENSIONS = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")
_CONFIGURATIONS = {
    "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
    "StepScaling": "StepScalingPolicyConfiguration",
}
_ROLE = (
    f"arn:aws:iam::{ACCOUNT_ID}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)


@dataclass(frozen=True)
class ScalableTarget:
    """A variant whose number of instances may change, with the target tracking policies that change it."""

    resource_id: str
    capacity: tuple[int, int]
    """The smallest and the largest number of instances."""
    suspended: Document
    policies: tuple[Document, ...]
    """Each policy's ``TargetTrackingScalingPolicyConfiguration``."""


@dataclass
class _Target:
    """A scalable target as Describe shows it, with the policies and actions that are deleted with it."""

    shown: Document
    policies: dict[str, Document] = field(default_factory=dict)
    actions: dict[str, Document] = field(default_factory=dict)


class ScalableTargets:
    """All scalable targets that are variants of endpoints, by resource ID."""

    def __init__(self, config: Config, documents: Documents, activities: ScalingActivities) -> None:
        self._region = config.region
        self._documents = documents
        self._lock = threading.RLock()
        self._targets: dict[str, _Target] = {}
        self.operations = JsonOperations(
            TARGET,
            {
                "RegisterScalableTarget": self._register,
                "DeregisterScalableTarget": self._deregister,
                "DescribeScalableTargets": self._describe,
                "PutScalingPolicy": self._put_policy,
                "DeleteScalingPolicy": self._delete_policy,
                "DescribeScalingPolicies": self._describe_policies,
                "PutScheduledAction": self._put_action,
                "DeleteScheduledAction": self._delete_action,
                "DescribeScheduledActions": self._describe_actions,
                "DescribeScalingActivities": activities.describe,
            },
            _check,
        )

    def respond(self, request: Request) -> Response | None:
        """Answer an operation on endpoints; moto answers those on other services.

        :raises AwsError: as AWS answers
        """
        if members_of(request).get("ServiceNamespace") != NAMESPACE:
            return None
        with self._lock:
            return self.operations.respond(request)

    def all(self) -> list[ScalableTarget]:
        """Return all targets as scaling sees them."""
        with self._lock:
            return [
                ScalableTarget(
                    name,
                    (target.shown["MinCapacity"], target.shown["MaxCapacity"]),
                    dict(target.shown["SuspendedState"]),
                    tuple(
                        policy[_CONFIGURATIONS["TargetTrackingScaling"]]
                        for policy in target.policies.values()
                        if policy["PolicyType"] == "TargetTrackingScaling"
                    ),
                )
                for name, target in self._targets.items()
            ]

    def check_update(self, endpoint: Document, config: Document) -> None:
        """Check that an update keeps the instance types of all variants that are scalable targets.

        :raises AwsError: if it does not
        """
        now = self._instance_types(endpoint["EndpointConfigName"])
        then = _types(config)
        for variant in now:
            if resource_id(endpoint["EndpointName"], variant) in self._targets and (
                now[variant] != then.get(variant)
            ):
                raise _refused(
                    f"An Application AutoScaling scalable target exists for variant {variant} of endpoint "
                    f'"{endpoint["EndpointArn"]}", and the update would change its instance type from '
                    f"{now[variant]} to {then.get(variant)}. Deregister the scalable target first."
                )

    def forget(self, endpoint: str) -> None:
        """Deregister the variants of a deleted endpoint."""
        with self._lock:
            for name in [name for name in self._targets if name.split("/")[1] == endpoint]:
                del self._targets[name]

    def _register(self, request: Document) -> Document:
        name = request["ResourceId"]
        found = self._targets.get(name)
        if found and request.get("Tags"):
            raise _refused(
                "The scalable target that you tried to tag already exists. To update tags on an existing scalable "
                "target, use the TagResource API."
            )
        self._check_resource(name)
        given = {member for member in ("MinCapacity", "MaxCapacity") if member in request}
        if found is None and len(given) < 2:
            raise _refused("MinCapacity and MaxCapacity are required to register a new scalable target.")
        capacity: Document = {**(found.shown if found else {}), **request}
        if capacity["MinCapacity"] > capacity["MaxCapacity"]:
            raise _refused("Maximum capacity cannot be less than minimum capacity.")
        if found is None:
            found = self._targets[name] = _Target(
                {
                    "ServiceNamespace": NAMESPACE,
                    "ResourceId": name,
                    "ScalableDimension": DIMENSION,
                    "RoleARN": _ROLE,
                    "CreationTime": time.time(),
                    "SuspendedState": dict.fromkeys(_SUSPENSIONS, False),
                    "ScalableTargetARN": f"arn:aws:{SERVICE}:{self._region}:{ACCOUNT_ID}:scalable-target/"
                    f"{uuid.uuid4().hex}",
                }
            )
        suspended = found.shown["SuspendedState"] | request.get("SuspendedState", {})
        found.shown |= {
            "MinCapacity": capacity["MinCapacity"],
            "MaxCapacity": capacity["MaxCapacity"],
            "SuspendedState": suspended,
        }
        return {"ScalableTargetARN": found.shown["ScalableTargetARN"]}

    def _check_resource(self, name: str) -> None:
        """Check that a resource ID names a variant that can scale."""
        match name.split("/"):
            case ["endpoint", endpoint, "variant", variant]:
                pass
            case _:
                raise _refused("Unsupported service namespace, resource type or scalable dimension")
        document = self._documents.get(ENDPOINT, endpoint)
        types = self._instance_types(document["EndpointConfigName"])
        if variant not in types:
            raise _refused(f"Endpoint {document['EndpointArn']} has no variant {variant}.")
        if str(types[variant]).startswith(BURSTABLE):
            raise _refused(
                f"Variant {variant} uses {types[variant]}; burstable instances do not support automatic scaling."
            )

    def _deregister(self, request: Document) -> Document:
        self._find(request, "found")
        del self._targets[request["ResourceId"]]
        return {}

    def _describe(self, request: Document) -> Document:
        wanted = request.get("ResourceIds", [])
        shown = [target.shown for name, target in self._targets.items() if not wanted or name in wanted]
        return page("ScalableTargets", shown, request, PAGE, PAGE_ERROR)

    def _put_policy(self, request: Document) -> Document:
        target = self._find(request, "registered")
        name = request["PolicyName"]
        found = target.policies.get(name, {})
        kind = request.get("PolicyType", found.get("PolicyType"))
        if kind not in _CONFIGURATIONS:
            raise _refused(f"{kind} is not supported for service namespace {NAMESPACE}.")
        configuration = request.get(_CONFIGURATIONS[kind], found.get(_CONFIGURATIONS[kind]))
        if configuration is None:
            raise _refused(f"{_CONFIGURATIONS[kind]} is required with policy type {kind}.")
        arn = (
            f"arn:aws:autoscaling:{self._region}:{ACCOUNT_ID}:scalingPolicy:{uuid.uuid4()}:resource/{NAMESPACE}/"
            f"{request['ResourceId']}:policyName/{name}"
        )
        policy = target.policies[name] = {
            "PolicyARN": found.get("PolicyARN", arn),
            "PolicyName": name,
            **_named(request),
            "PolicyType": kind,
            _CONFIGURATIONS[kind]: configuration,
            "Alarms": [],
            "CreationTime": found.get("CreationTime", time.time()),
        }
        return {"PolicyARN": policy["PolicyARN"], "Alarms": policy["Alarms"]}

    def _delete_policy(self, request: Document) -> Document:
        target = self._targets.get(request["ResourceId"])
        if target is None or request["PolicyName"] not in target.policies:
            raise _not_found("No scaling policy found", request, "policy name", request["PolicyName"])
        del target.policies[request["PolicyName"]]
        return {}

    def _describe_policies(self, request: Document) -> Document:
        wanted = request.get("PolicyNames", [])
        policies = self._of_targets(request, lambda each: each.policies, wanted)
        return page("ScalingPolicies", policies, request, PAGE, PAGE_ERROR)

    def _put_action(self, request: Document) -> Document:
        target = self._find(request, "registered")
        name = request["ScheduledActionName"]
        found = target.actions.get(name, {})
        if "Schedule" not in request and not found:
            raise _refused("Schedule is required to create a scheduled action.")
        arn = (
            f"arn:aws:autoscaling:{self._region}:{ACCOUNT_ID}:scheduledAction:{uuid.uuid4()}:resource/{NAMESPACE}/"
            f"{request['ResourceId']}:scheduledActionName/{name}"
        )
        members = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")
        target.actions[name] = {
            "ScheduledActionARN": arn,
            "CreationTime": time.time(),
            **found,
            "ScheduledActionName": name,
            **_named(request),
            **{member: request[member] for member in members if member in request},
        }
        return {}

    def _delete_action(self, request: Document) -> Document:
        target = self._targets.get(request["ResourceId"])
        name = request["ScheduledActionName"]
        if target is None or name not in target.actions:
            raise _not_found("No scheduled action found", request, "scheduled action name", name)
        del target.actions[name]
        return {}

    def _describe_actions(self, request: Document) -> Document:
        wanted = request.get("ScheduledActionNames", [])
        actions = self._of_targets(request, lambda each: each.actions, wanted)
        return page("ScheduledActions", actions, request, PAGE, PAGE_ERROR)

    def _of_targets(
        self, request: Document, of: Callable[[_Target], dict[str, Document]], wanted: list[str]
    ) -> list[Document]:
        return [
            document
            for name, target in self._targets.items()
            if request.get("ResourceId", name) == name
            for key, document in of(target).items()
            if not wanted or key in wanted
        ]

    def _find(self, request: Document, verb: str) -> _Target:
        target = self._targets.get(request["ResourceId"])
        if target is None:
            raise _not_found(f"No scalable target {verb}", request)
        return target

    def _instance_types(self, config: str) -> dict[str, Any]:
        """Return the instance types of an endpoint configuration's variants; empty if it was deleted."""
        return next(
            (
                _types(document)
                for document in self._documents.all(ENDPOINT_CONFIG)
                if document["EndpointConfigName"] == config
            ),
            {},
        )


def resource_id(endpoint: str, variant: str) -> str:
    """Return the resource ID of a variant in Application Auto Scaling."""
    return f"endpoint/{endpoint}/variant/{variant}"


def _check(operation: str, request: Document) -> None:
    service_models.check_request(SERVICE, operation, request)
    if request.get("ScalableDimension", DIMENSION) != DIMENSION:
        raise _refused("Unsupported service namespace, resource type or scalable dimension")


def _types(config: Document) -> dict[str, Any]:
    return {variant["VariantName"]: variant.get("InstanceType") for variant in config["ProductionVariants"]}


def _named(request: Document) -> Document:
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": request["ResourceId"],
        "ScalableDimension": DIMENSION,
    }


def _refused(sentence: str) -> AwsError:
    return AwsError("ValidationException", sentence)


def _not_found(what: str, request: Document, *further: str) -> AwsError:
    names = (
        f"{what} for service namespace: {NAMESPACE}, resource ID: {request['ResourceId']}, scalable dimension: "
        f"{DIMENSION}"
    )
    more = ", ".join(f"{key}: {value}" for key, value in zip(further[::2], further[1::2], strict=True))
    return AwsError("ObjectNotFoundException", ", ".join(filter(None, [names, more])))
