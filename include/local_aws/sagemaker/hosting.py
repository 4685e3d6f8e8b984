"""Endpoints: the operations, and the fleets that serve them."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import data_capture
from include.local_aws.sagemaker.deployment import AlarmsRaised, Deployment, check_alarms_exist
from include.local_aws.sagemaker.documents import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    Document,
    Documents,
)
from include.local_aws.sagemaker.fleet import Fleet, Unhealthy
from include.local_aws.sagemaker.hosted_models import HostedModels
from include.local_aws.sagemaker.scalable_targets import ScalableTargets
from include.local_aws.sagemaker.traffic import Traffic
from include.local_aws.sagemaker.traffic_shifting import Plan, plan

_IN_PROGRESS = ("Creating", "Updating", "RollingBack", "Deleting")
_FAILURES = (Unhealthy, AlarmsRaised, AwsError, BotoCoreError, ClientError, OSError)
_log = logging.getLogger(__name__)


class Endpoints:
    """All endpoints of this server, and their fleets."""

    def __init__(
        self,
        config: Config,
        children: ChildProcesses,
        documents: Documents,
        models: HostedModels,
        targets: ScalableTargets,
    ) -> None:
        self._config = config
        self._targets = targets
        self._models = models
        self._children = children
        self._documents = documents
        self._lock = threading.RLock()
        self._traffic: dict[str, Traffic] = {}
        self.operations: dict[str, Handler] = {
            "CreateEndpoint": self._create,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_weights_and_capacities,
            "DeleteEndpoint": self._delete,
        }

    def fleet(self, name: str, variant: str | None) -> Fleet | None:
        """Return the fleet for a request, which may name a variant; None if the endpoint has none."""
        traffic = self._traffic.get(name)
        return None if traffic is None else traffic.choose(variant)

    def variants(self, name: str) -> list[Document]:
        """Return an endpoint's production variants as Describe shows them, unless it is being changed."""
        with self._lock:
            for endpoint in self._documents.all(ENDPOINT):
                if endpoint["EndpointName"] == name and endpoint["EndpointStatus"] == "InService":
                    return list(endpoint["ProductionVariants"])
        return []

    def set_capacity(self, name: str, variant: str, count: int) -> None:
        """Change the number of a variant's instances, as Application Auto Scaling does.

        :raises AwsError: if the endpoint does not exist or is being changed
        """
        change = {"VariantName": variant, "DesiredInstanceCount": count}
        self._update_weights_and_capacities({"EndpointName": name, "DesiredWeightsAndCapacities": [change]})

    def _create(self, request: Document) -> Document:
        config = self._documents.get(ENDPOINT_CONFIG, request["EndpointConfigName"])
        variants = [_as_configured(variant) for variant in config["ProductionVariants"]]
        deployment = request.get("DeploymentConfig")
        plan(deployment or {}, variants)
        endpoint = self._documents.create(
            ENDPOINT, request, EndpointStatus="Creating", LastDeploymentConfig=deployment
        )
        self._in_background(self._deploy_first, endpoint, config, variants)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _update(self, request: Document) -> Document:
        name = request["EndpointName"]
        with self._lock:
            endpoint = self._changeable(name)
            config = self._documents.get(ENDPOINT_CONFIG, request["EndpointConfigName"])
            # AWS also requires the current configuration.
            self._documents.get(ENDPOINT_CONFIG, endpoint["EndpointConfigName"])
            self._targets.check_update(endpoint, config)
            variants = [_as_configured(variant) for variant in config["ProductionVariants"]]
            if request.get("RetainAllVariantProperties"):
                excluded = {
                    item["VariantPropertyType"]
                    for item in request.get("ExcludeRetainedVariantProperties", [])
                }
                _retain(variants, endpoint["ProductionVariants"], excluded)
            deployment = request.get("DeploymentConfig")
            if deployment is None and request.get("RetainDeploymentConfig"):
                deployment = endpoint.get("LastDeploymentConfig")
            planned = plan(deployment or {}, variants)
            check_alarms_exist(self._config, planned.alarms)
            self._documents.update(
                endpoint, EndpointStatus="Updating", FailureReason=None, LastDeploymentConfig=deployment
            )
        self._in_background(self._deploy, endpoint, config, variants, planned)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _deploy_first(self, endpoint: Document, config: Document, variants: list[Document]) -> None:
        """Start the fleet of a new endpoint; if it does not become healthy, the endpoint fails."""
        fleet = self._new_fleet(endpoint, config)
        try:
            self._start(fleet, config, variants)
        except _FAILURES as error:
            fleet.end()
            self._documents.update(endpoint, EndpointStatus="Failed", FailureReason=str(error))
            return
        self._traffic[endpoint["EndpointName"]] = Traffic(fleet)
        self._documents.update(
            endpoint,
            ProductionVariants=variants,
            DataCaptureConfig=data_capture.described(config.get("DataCaptureConfig")),
            EndpointStatus="InService",
            FailureReason=None,
        )

    def _deploy(
        self,
        endpoint: Document,
        config: Document,
        variants: list[Document],
        planned: Plan,
    ) -> None:
        """Start a new fleet and shift the traffic to it; after an error, the old fleet serves everything."""
        traffic = self._traffic[endpoint["EndpointName"]]
        fleet = self._new_fleet(endpoint, config)
        new = {
            "EndpointConfigName": config["EndpointConfigName"],
            "ProductionVariants": variants,
            "DataCaptureConfig": data_capture.described(config.get("DataCaptureConfig")),
        }
        deployment = Deployment(self._config, self._documents, endpoint, new, planned)
        try:
            self._start(fleet, config, variants)
            deployment.shift(traffic, fleet)
        except _FAILURES as error:
            self._roll_back(endpoint, traffic, fleet, str(error))
            return
        with self._lock:
            old = traffic.settle(fleet)
            self._documents.update(
                endpoint, **new, PendingDeploymentSummary=None, FailureReason=None, EndpointStatus="InService"
            )
        for each in old:
            each.end()

    def _roll_back(self, endpoint: Document, traffic: Traffic, fleet: Fleet, reason: str) -> None:
        """Return all traffic to the old fleet, end the new one, and record the reason."""
        traffic.withdraw(fleet)
        self._documents.update(
            endpoint, EndpointStatus="RollingBack", PendingDeploymentSummary=None, FailureReason=reason
        )
        fleet.end()
        self._documents.update(endpoint, EndpointStatus="InService")

    def _new_fleet(self, endpoint: Document, config: Document) -> Fleet:
        return Fleet(
            self._config,
            self._children,
            endpoint["EndpointName"],
            config["EndpointConfigName"],
            config.get("DataCaptureConfig"),
        )

    def _start(self, fleet: Fleet, config: Document, variants: list[Document]) -> None:
        """Start a fleet's processes and wait until all of them are healthy.

        :raises Unhealthy: if one is not
        """
        models = {variant["VariantName"]: variant["ModelName"] for variant in config["ProductionVariants"]}
        for variant in variants:
            container = self._models.container(models[variant["VariantName"]])
            fleet.add(
                variant["VariantName"],
                container,
                variant["DesiredWeight"],
                variant["DesiredInstanceCount"],
                is_isolated=self._models.is_isolated(models[variant["VariantName"]]),
            )
            if resolved := fleet.variants[variant["VariantName"]].image:
                variant["DeployedImages"] = [
                    {"SpecifiedImage": container["Image"], "ResolvedImage": resolved}
                ]
        fleet.check()

    def _update_weights_and_capacities(self, request: Document) -> Document:
        with self._lock:
            endpoint = self._changeable(request["EndpointName"])
            [fleet] = self._traffic[request["EndpointName"]].fleets
            variants = {v["VariantName"]: dict(v) for v in endpoint["ProductionVariants"]}
            sizes = {}
            for change in request["DesiredWeightsAndCapacities"]:
                if change["VariantName"] not in variants:
                    raise AwsError(
                        "ValidationException",
                        f'The variant name(s) "{change["VariantName"]}" is/are not present within endpoint '
                        f'configuration "{endpoint["EndpointConfigName"]}".',
                    )
                variant = variants[change["VariantName"]]
                if "DesiredWeight" in change:
                    variant["DesiredWeight"] = change["DesiredWeight"]
                if "DesiredInstanceCount" in change:
                    if change["DesiredInstanceCount"] < 1:
                        raise AwsError(
                            "ValidationException",
                            f"Variant {change['VariantName']} needs at least one instance.",
                        )
                    variant["DesiredInstanceCount"] = change["DesiredInstanceCount"]
                    sizes[change["VariantName"]] = change["DesiredInstanceCount"]
            self._documents.update(
                endpoint, EndpointStatus="Updating", ProductionVariants=list(variants.values())
            )
        self._in_background(self._adjust, endpoint, fleet, sizes)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _adjust(self, endpoint: Document, fleet: Fleet, sizes: dict[str, int]) -> None:
        """Give a fleet the weights and sizes of the endpoint's document."""
        failure = None
        for name, count in sizes.items():
            try:
                fleet.resize(name, count)
            except Unhealthy as error:
                failure = str(error)
        with self._lock:
            variants = [dict(variant) for variant in endpoint["ProductionVariants"]]
            for variant in variants:
                running = fleet.variants[variant["VariantName"]]
                running.weight = variant["CurrentWeight"] = variant["DesiredWeight"]
                variant["CurrentInstanceCount"] = len(running.instances)
                variant["DesiredInstanceCount"] = len(running.instances)
            self._documents.update(
                endpoint, ProductionVariants=variants, FailureReason=failure, EndpointStatus="InService"
            )

    def _delete(self, request: Document) -> Document:
        with self._lock:
            endpoint = self._idle(request["EndpointName"])
            self._documents.update(endpoint, EndpointStatus="Deleting")
            traffic = self._traffic.pop(request["EndpointName"], None)
            self._targets.forget(request["EndpointName"])
        self._in_background(self._end, endpoint, traffic)
        return {}

    def _end(self, endpoint: Document, traffic: Traffic | None) -> None:
        for fleet in traffic.fleets if traffic else ():
            fleet.end()
        self._documents.delete(ENDPOINT, endpoint["EndpointName"])

    def _idle(self, name: str) -> Document:
        endpoint = self._documents.get(ENDPOINT, name)
        if endpoint["EndpointStatus"] in _IN_PROGRESS:
            raise AwsError(
                "ValidationException", f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".'
            )
        return endpoint

    def _changeable(self, name: str) -> Document:
        endpoint = self._idle(name)
        if endpoint["EndpointStatus"] != "InService":
            raise AwsError(
                "ValidationException",
                f'Cannot update endpoint "{endpoint["EndpointArn"]}" in status {endpoint["EndpointStatus"]}; '
                "delete it and create it again.",
            )
        return endpoint

    def _in_background(self, work: Callable[..., None], endpoint: Document, *arguments: Any) -> None:
        def run() -> None:
            try:
                work(endpoint, *arguments)
            except Exception as error:
                if self._children.closed:
                    return
                _log.exception("Changing endpoint %s failed", endpoint["EndpointName"])
                status = "InService" if endpoint["EndpointName"] in self._traffic else "Failed"
                self._documents.update(endpoint, EndpointStatus=status, FailureReason=str(error))

        threading.Thread(target=run, daemon=True).start()


def _as_configured(variant: Document) -> Document:
    """Return a variant of a configuration as Describe shows it once it is deployed."""
    weight = variant.get("InitialVariantWeight", 1.0)
    count = variant.get("InitialInstanceCount", 1)
    return {
        "VariantName": variant["VariantName"],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
    }


def _retain(variants: list[Document], current: list[Document], excluded: set[str]) -> None:
    """Give variants the current weights and instance counts of the variants with the same names."""
    now = {variant["VariantName"]: variant for variant in current}
    for variant in variants:
        for what in {"Weight", "InstanceCount"}:
            if f"Desired{what}" not in excluded and variant["VariantName"] in now:
                kept = now[variant["VariantName"]][f"Desired{what}"]
                variant[f"Current{what}"] = variant[f"Desired{what}"] = kept
