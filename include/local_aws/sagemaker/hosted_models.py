"""Models and endpoint configurations: the operations, and the container that a model is served from."""

from include.local_aws import object_store
from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.operations import Handler
from include.local_aws.sagemaker import network_isolation
from include.local_aws.sagemaker.documents import (
    ENDPOINT_CONFIG,
    MODEL,
    Document,
    Documents,
    Kind,
)


class HostedModels:
    """What endpoints are made of.

    As in AWS, a configuration can be deleted while an endpoint uses it: AWS only says that one must not.
    """

    def __init__(self, config: Config, documents: Documents) -> None:
        self._config = config
        self._documents = documents
        self.operations: dict[str, Handler] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "DeleteModel": lambda request: self._forget(MODEL, request),
            "DeleteEndpointConfig": lambda request: self._forget(ENDPOINT_CONFIG, request),
        }

    def container(self, model: str) -> Document:
        """Return a model's container: its own, or that of its model package with the model's environment.

        :raises AwsError: when there is no such model
        """
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

    def is_isolated(self, model: str) -> bool:
        """Return whether a model is to be cut off from the network."""
        return bool(self._documents.get(MODEL, model).get("EnableNetworkIsolation"))

    def _create_model(self, request: Document) -> Document:
        network_isolation.check_possible(request)
        containers = (
            [request["PrimaryContainer"]] if "PrimaryContainer" in request else request.get("Containers", [])
        )
        if len(containers) != 1 or not containers[0].keys() & {"ModelDataUrl", "ModelPackageName"}:
            raise AwsError(
                "ValidationException",
                "Local AWS serves a model of one container with ModelDataUrl or ModelPackageName.",
            )
        if not containers[0].keys() & {"Image", "ModelPackageName"}:
            raise AwsError(
                "ValidationException", "The container has no Image and no ModelPackageName. Give one."
            )
        self._check_data(containers[0])
        return {"ModelArn": self._documents.create(MODEL, request)["ModelArn"]}

    def _check_data(self, container: Document) -> None:
        if "ModelDataUrl" not in container:
            return
        url = container["ModelDataUrl"]
        try:
            found = object_store.exists(self._config, url)
        except ValueError as error:
            raise AwsError("ValidationException", str(error)) from error
        if not found:
            raise AwsError("ValidationException", f"Could not find model data at {url}.")

    def _create_config(self, request: Document) -> Document:
        names = [variant["VariantName"] for variant in request["ProductionVariants"]]
        if len(set(names)) < len(names):
            raise AwsError(
                "ValidationException", f"ProductionVariants has a VariantName twice: {', '.join(names)}."
            )
        for variant in request["ProductionVariants"]:
            if "ServerlessConfig" in variant or "ModelName" not in variant:
                raise AwsError(
                    "ValidationException",
                    f"Variant {variant['VariantName']}: local AWS serves a ModelName on instances only.",
                )
            if "InstanceType" not in variant or variant.get("InitialInstanceCount", 0) < 1:
                raise AwsError(
                    "ValidationException",
                    f"Variant {variant['VariantName']} needs an InstanceType and an InitialInstanceCount above 0.",
                )
            self._documents.get(MODEL, variant["ModelName"])
        return {"EndpointConfigArn": self._documents.create(ENDPOINT_CONFIG, request)["EndpointConfigArn"]}

    def _forget(self, kind: Kind, request: Document) -> Document:
        self._documents.delete(kind, request[kind.name_member])
        return {}
