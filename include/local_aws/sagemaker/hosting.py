"""Models, endpoint configurations and endpoints: the operations, and each endpoint's deployments."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker.documents import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Document,
    Documents,
    Kind,
    Operation,
)
from include.local_aws.sagemaker.fleet import Fleet, Unhealthy

_IN_PROGRESS = ("Creating", "Updating", "Deleting")
_log = logging.getLogger(__name__)


class Endpoints:
    """All endpoints of this server and what they serve from."""

    def __init__(self, config: Config, children: ChildProcesses, documents: Documents) -> None:
        self._config = config
        self._children = children
        self._documents = documents
        self._lock = threading.RLock()
        self._fleets: dict[str, Fleet] = {}
        self.operations: dict[str, Operation] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "CreateEndpoint": self._create,
            "UpdateEndpoint": self._update,
            "UpdateEndpointWeightsAndCapacities": self._update_weights_and_capacities,
            "DeleteModel": lambda request: self._forget(MODEL, request),
            "DeleteEndpointConfig": lambda request: self._forget(ENDPOINT_CONFIG, request),
            "DeleteEndpoint": self._delete,
        }

    def fleet(self, name: str) -> Fleet | None:
        """Return the processes that serve an endpoint now."""
        return self._fleets.get(name)

    def variants(self, name: str) -> list[Document]:
        """Return an endpoint's production variants as Describe shows them, unless it is being changed."""
        with self._lock:
            for endpoint in self._documents.all(ENDPOINT):
                if endpoint["EndpointName"] == name and endpoint["EndpointStatus"] == "InService":
                    return list(endpoint["ProductionVariants"])
        return []

    def set_capacity(self, name: str, variant: str, count: int) -> None:
        """Change the number of a variant's instances, as Application Auto Scaling does.

        :raises AwsError: when the endpoint is gone or being changed
        """
        change = {"VariantName": variant, "DesiredInstanceCount": count}
        self._update_weights_and_capacities({"EndpointName": name, "DesiredWeightsAndCapacities": [change]})

    def _create_model(self, request: Document) -> Document:
        containers = (
            [request["PrimaryContainer"]] if "PrimaryContainer" in request else request.get("Containers", [])
        )
        if len(containers) != 1 or not containers[0].keys() & {"ModelDataUrl", "ModelPackageName"}:
            raise AwsError(
                "ValidationException",
                "Local AWS serves a model of one container with ModelDataUrl or ModelPackageName.",
            )
        return {"ModelArn": self._documents.create(MODEL, request)["ModelArn"]}

    def _create_config(self, request: Document) -> Document:
        for variant in request["ProductionVariants"]:
            if "ServerlessConfig" in variant or "ModelName" not in variant:
                raise AwsError(
                    "ValidationException",
                    f"Variant {variant['VariantName']}: local AWS serves a ModelName on instances only.",
                )
            self._documents.get(MODEL, variant["ModelName"])
        return {"EndpointConfigArn": self._documents.create(ENDPOINT_CONFIG, request)["EndpointConfigArn"]}

    def _forget(self, kind: Kind, request: Document) -> Document:
        self._documents.delete(kind, request[kind.name_member])
        return {}

    def _create(self, request: Document) -> Document:
        config = self._documents.get(ENDPOINT_CONFIG, request["EndpointConfigName"])
        variants = [_as_configured(variant) for variant in config["ProductionVariants"]]
        endpoint = self._documents.create(ENDPOINT, request, EndpointStatus="Creating")
        self._in_background(self._deploy, endpoint, config, variants)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _update(self, request: Document) -> Document:
        with self._lock:
            endpoint = self._changeable(request["EndpointName"])
            config = self._documents.get(ENDPOINT_CONFIG, request["EndpointConfigName"])
            variants = [_as_configured(variant) for variant in config["ProductionVariants"]]
            if request.get("RetainAllVariantProperties"):
                excluded = {
                    item["VariantPropertyType"]
                    for item in request.get("ExcludeRetainedVariantProperties", [])
                }
                _retain(variants, endpoint["ProductionVariants"], excluded)
            self._documents.update(endpoint, EndpointStatus="Updating")
        self._in_background(self._deploy, endpoint, config, variants)
        return {"EndpointArn": endpoint["EndpointArn"]}

    def _deploy(self, endpoint: Document, config: Document, variants: list[Document]) -> None:
        """Start a new fleet; swap it in when all of it is healthy, else leave the old one in service."""
        name = endpoint["EndpointName"]
        fleet = Fleet(self._config, self._children, name)
        models = {variant["VariantName"]: variant["ModelName"] for variant in config["ProductionVariants"]}
        try:
            for variant in variants:
                fleet.add(
                    variant["VariantName"],
                    self._container(models[variant["VariantName"]]),
                    variant["DesiredWeight"],
                    variant["DesiredInstanceCount"],
                )
            fleet.check()
        except (Unhealthy, AwsError, ClientError, OSError) as error:
            fleet.end()
            status = "InService" if name in self._fleets else "Failed"
            self._documents.update(endpoint, EndpointStatus=status, FailureReason=str(error))
            return
        with self._lock:
            old = self._fleets.get(name)
            self._fleets[name] = fleet
            self._documents.update(
                endpoint,
                EndpointConfigName=config["EndpointConfigName"],
                ProductionVariants=variants,
                FailureReason=None,
                EndpointStatus="InService",
            )
        if old is not None:
            old.end()

    def _container(self, model: str) -> Document:
        document = self._documents.get(MODEL, model)
        container: Document = document.get("PrimaryContainer") or document["Containers"][0]
        if "ModelDataUrl" in container:
            return container
        package = self._config.client("sagemaker").describe_model_package(
            ModelPackageName=container["ModelPackageName"]
        )
        [packaged, *_] = package["InferenceSpecification"]["Containers"]
        environment = packaged.get("Environment", {}) | container.get("Environment", {})
        return {**packaged, "Environment": environment}

    def _update_weights_and_capacities(self, request: Document) -> Document:
        with self._lock:
            endpoint = self._changeable(request["EndpointName"])
            fleet = self._fleets[request["EndpointName"]]
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
        """Give a fleet the weights and sizes that its endpoint's document wants."""
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
            fleet = self._fleets.pop(request["EndpointName"], None)
        self._in_background(self._end, endpoint, fleet)
        return {}

    def _end(self, endpoint: Document, fleet: Fleet | None) -> None:
        if fleet is not None:
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
                status = "InService" if endpoint["EndpointName"] in self._fleets else "Failed"
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
    """Give variants the weights and instance counts that those of the same name have now."""
    now = {variant["VariantName"]: variant for variant in current}
    for variant in variants:
        for what in {"Weight", "InstanceCount"}:
            if f"Desired{what}" not in excluded and variant["VariantName"] in now:
                kept = now[variant["VariantName"]][f"Desired{what}"]
                variant[f"Current{what}"] = variant[f"Desired{what}"] = kept
