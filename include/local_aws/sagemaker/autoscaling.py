"""Changes the number of an endpoint's instances by target tracking policies."""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.sagemaker.documents import Document
from include.local_aws.sagemaker.hosting import Endpoints
from include.local_aws.sagemaker.invocations import Invocations
from include.local_aws.sagemaker.scalable_targets import ScalableTarget
from include.local_aws.sagemaker.scaling_activities import ScalingActivities

_CHECKS_PER_WINDOW = 12
_MINUTE_SECONDS = 60.0
_DEFAULT_COOLDOWN_SECONDS = 300.0
_SCALE_IN_BELOW = 0.9
"""The alarm of AWS for scaling in is at 90 % of the target, so that the number does not oscillate."""
_METRIC = "SageMakerVariantInvocationsPerInstance"
_log = logging.getLogger(__name__)


@dataclass
class _History:
    """When a variant was first seen, and last scaled out and in."""

    known_since: float
    scaled_out: float = -math.inf
    scaled_in: float = -math.inf
    pending: tuple[Document, int] | None = None
    """The activity that is not complete yet, and its number of instances."""


class Autoscaling:
    """A loop over the scalable targets; a target's value is invocations per instance per minute.

    The rate is that of the last window (``scaling_window_seconds``, a minute in AWS). Cooldowns are shortened like
    the window: with a window of 6 seconds, a cooldown of 300 seconds takes 30.
    """

    def __init__(
        self,
        config: Config,
        endpoints: Endpoints,
        invocations: Invocations,
        targets: Callable[[], list[ScalableTarget]],
        activities: ScalingActivities,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param targets: returns the scalable targets
        :param activities: records what is scaled
        :param clock: returns seconds, from any beginning
        """
        self._targets = targets
        self._clock = clock
        self._window = config.scaling_window_seconds
        self._endpoints = endpoints
        self._invocations = invocations
        self._histories: dict[str, _History] = {}
        self.activities = activities
        self._closing = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def close(self) -> None:
        """Stop scaling."""
        self._closing.set()

    def _watch(self) -> None:
        while not self._closing.wait(self._window / _CHECKS_PER_WINDOW):
            try:
                self.check()
            except AwsError as error:
                _log.warning("Scaling waits for the next check: %s", error)

    def check(self) -> None:
        """Change the number of instances of each target whose policies require it."""
        targets = self._targets()
        known = {target.resource_id for target in targets}
        self._histories = {name: past for name, past in self._histories.items() if name in known}
        for target in targets:
            self._scale(target, [policy for policy in target.policies if _counts_invocations(policy)])

    def _scale(self, target: ScalableTarget, policies: list[Document]) -> None:
        """Apply the policies to a target; as in AWS, the largest number of instances is used."""
        _, endpoint, _, name = target.resource_id.split("/")
        history = self._histories.setdefault(target.resource_id, _History(self._clock()))
        for variant in self._endpoints.variants(endpoint):
            if variant["VariantName"] != name:
                continue
            self._end_activity(history, variant)
            if not policies:
                continue
            count = variant["CurrentInstanceCount"]
            per_minute = (
                self._invocations.count(endpoint, name, self._window) * _MINUTE_SECONDS / self._window
            )
            now = self._clock()
            wanted = max(
                wanted_instances(
                    policy,
                    count=count,
                    per_minute=per_minute,
                    window=self._window,
                    since_known=now - history.known_since,
                    since_out=now - history.scaled_out,
                    since_in=now - history.scaled_in,
                )
                for policy in policies
            )
            fewest, most = target.capacity
            wanted = max(1, min(max(wanted, fewest), most))
            if wanted > count and not target.suspended.get("DynamicScalingOutSuspended"):
                history.scaled_out = now
            elif wanted < count and not target.suspended.get("DynamicScalingInSuspended"):
                history.scaled_in = now
            else:
                continue
            _log.info("Scaling %s of %s from %d to %d", name, endpoint, count, wanted)
            self._endpoints.set_capacity(endpoint, name, wanted)
            cause = (
                f"{count} instances had {per_minute:g} invocations a minute; "
                f"{fewest} to {most} instances are allowed."
            )
            history.pending = self.activities.begin(target.resource_id, wanted, cause), wanted

    def _end_activity(self, history: _History, variant: Document) -> None:
        """Record the result of the last change after it has completed."""
        if history.pending is None:
            return
        (activity, wanted), history.pending = history.pending, None
        count, now = variant["CurrentInstanceCount"], self._clock()
        # A cooldown begins when the change is complete, not when it is requested.
        if history.scaled_out > history.scaled_in:
            history.scaled_out = now
        else:
            history.scaled_in = now
        if count == wanted:
            message = (
                f"Successfully set desired instance count to {count}. "
                "Change successfully fulfilled by sagemaker."
            )
            self.activities.end(activity, "Successful", message)
        else:
            self.activities.end(activity, "Failed", f"The endpoint is left with {count} instances.")


def wanted_instances(
    policy: Document,
    *,
    count: int,
    per_minute: float,
    window: float,
    since_known: float,
    since_out: float,
    since_in: float,
) -> int:
    """Return the number of instances by a target tracking policy, without the limits of the target.

    :param policy: its ``TargetTrackingScalingPolicyConfiguration``
    :param count: the current number of instances
    :param per_minute: the invocations of all instances per minute
    :param window: the seconds in which they were counted; cooldowns are shortened like it
    :param since_known: seconds since the target was first seen
    :param since_out: seconds since it was last scaled out
    :param since_in: seconds since it was last scaled in
    """

    def cooled(cooldown: str, elapsed: float) -> bool:
        seconds: float = policy.get(cooldown, _DEFAULT_COOLDOWN_SECONDS)
        return elapsed >= seconds * window / _MINUTE_SECONDS

    wanted = math.ceil(per_minute / policy["TargetValue"])
    if wanted > count:
        return wanted if cooled("ScaleOutCooldown", since_out) else count
    may_scale_in = (
        per_minute < _SCALE_IN_BELOW * policy["TargetValue"] * count
        and not policy.get("DisableScaleIn", False)
        # The rate is known only after a whole window, so a new target does not scale in before.
        and min(since_known, since_out) >= window
        and cooled("ScaleInCooldown", min(since_out, since_in))
    )
    return wanted if may_scale_in else count


def _counts_invocations(policy: Document) -> bool:
    """Return whether a target tracking policy tracks a variant's invocations."""
    specification: Document = policy.get("PredefinedMetricSpecification", {})
    return specification.get("PredefinedMetricType") == _METRIC
