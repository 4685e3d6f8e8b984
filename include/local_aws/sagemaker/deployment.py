"""One update of an endpoint: shifts its traffic to a new fleet by a plan, while it watches the alarms."""

import time
from collections.abc import Sequence

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.principals import Principal
from include.local_aws.sagemaker.documents import Document, Documents
from include.local_aws.sagemaker.fleet import Fleet
from include.local_aws.sagemaker.traffic import Traffic
from include.local_aws.sagemaker.traffic_shifting import Plan

_CHECK_SECONDS = 0.1


class AlarmsRaised(Exception):
    """Alarms are in ALARM; the message is the endpoint's failure reason."""


class Deployment:
    """What an endpoint shows of its update as ``PendingDeploymentSummary``, and the update's steps."""

    def __init__(
        self, config: Config, documents: Documents, endpoint: Document, new: Document, plan: Plan
    ) -> None:
        """:param new: the endpoint's members after the update: its configuration's name and its variants"""
        self._config = config
        self._documents = documents
        self._endpoint = endpoint
        self._new = new
        self._plan = plan
        self._started = time.time()
        self.show("Creating")

    def shift(self, traffic: Traffic, fleet: Fleet) -> None:
        """Shift all traffic to a fleet that is up; returns when the old one may go.

        :raises AlarmsRaised: when an alarm of the plan is raised before the last step's wait is over
        :raises Unhealthy: when the new fleet loses a variant's last process before that
        """
        self._check_alarms()
        for share in self._plan.shares:
            self.show("ActivatingTraffic", f"{share:.0%} of the traffic goes to the new fleet.")
            traffic.shift(fleet, share)
            self.show("Baking")
            self._bake(fleet)
        # AWS counts this wait after the deployment's completion: its alarms no longer matter.
        time.sleep(self._config.lasts(self._plan.termination_seconds))

    def show(self, status: str, message: str | None = None) -> None:
        """Show the stage of the update on every variant of the new fleet."""
        stage = {"Status": status, "StatusMessage": message, "StartTime": time.time()}
        stage = {name: value for name, value in stage.items() if value is not None}
        self._documents.update(
            self._endpoint,
            PendingDeploymentSummary={
                "EndpointConfigName": self._new["EndpointConfigName"],
                "ProductionVariants": [
                    variant | {"VariantStatus": [stage]} for variant in self._new["ProductionVariants"]
                ],
                "StartTime": self._started,
            },
        )

    def _bake(self, fleet: Fleet) -> None:
        """Watch the new fleet and the alarms for the plan's wait, and at least once."""
        deadline = time.monotonic() + self._config.lasts(self._plan.wait_seconds)
        while True:
            self._check_alarms()
            fleet.check_alive()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_CHECK_SECONDS, left))

    def _check_alarms(self) -> None:
        raised = [
            name for name, state in _states(self._config, self._plan.alarms).items() if state == "ALARM"
        ]
        if raised:
            raise AlarmsRaised(
                "The deployment was rolled back because alarms of its auto rollback configuration are in "
                f"ALARM state: [{', '.join(raised)}]."
            )


def check_alarms_exist(config: Config, names: Sequence[str]) -> None:
    """Check that CloudWatch has the alarms that a deployment names.

    :raises AwsError: ValidationException
    """
    missing = sorted(set(names) - _states(config, names).keys())
    if missing:
        raise AwsError(
            "ValidationException",
            f"The auto rollback configuration names alarms that do not exist: [{', '.join(missing)}].",
        )


def _states(config: Config, names: Sequence[str]) -> dict[str, str]:
    """Return the states of alarms that exist, by name."""
    if not names:
        return {}
    alarms = config.client("cloudwatch", Principal.JOB).describe_alarms(AlarmNames=list(names))[
        "MetricAlarms"
    ]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in alarms}
