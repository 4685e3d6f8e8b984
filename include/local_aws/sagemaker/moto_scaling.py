"""The only reach into moto's Application Auto Scaling: reads the scalable targets and their policies."""

from dataclasses import dataclass

from moto.applicationautoscaling.models import FakeScalableTarget, applicationautoscaling_backends

from include.local_aws.config import ACCOUNT_ID
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.scaling_activities import DIMENSION, NAMESPACE


@dataclass(frozen=True)
class ScalableTarget:
    """A variant whose number of instances may change, with the target tracking policies that change it."""

    resource_id: str
    capacity: tuple[int, int]
    """The smallest and the largest number of instances."""
    suspended: Document
    policies: tuple[Document, ...]
    """Each policy's ``TargetTrackingScalingPolicyConfiguration``."""


def scalable_targets(region: str) -> list[ScalableTarget]:
    """Return all variants that are scalable targets.

    Not read through the API: an idle server would then ask itself several times a second.
    """
    backend = applicationautoscaling_backends[ACCOUNT_ID][region]
    policies = list(backend.policies.values())

    def of(target: FakeScalableTarget) -> tuple[Document, ...]:
        return tuple(
            policy.target_tracking_scaling_policy_configuration
            for policy in policies
            if policy.service_namespace == NAMESPACE
            and policy.resource_id == target.resource_id
            and policy.target_tracking_scaling_policy_configuration
        )

    return [
        ScalableTarget(
            target.resource_id,
            (int(target.min_capacity or 1), int(target.max_capacity or 1)),
            dict(target.suspended_state or {}),  # type: ignore[arg-type]  # moto calls it text
            of(target),
        )
        for target in backend.describe_scalable_targets(NAMESPACE, None, DIMENSION)
    ]
