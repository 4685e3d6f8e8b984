"""SageMaker's operations: the table of what answers each, and the paths of invocations."""

import re

from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.gateway import json_response
from include.local_aws.moto_patches.sagemaker import list_in_tagging_api
from include.local_aws.operations import Handler, JsonOperations, target_operation
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import implemented, listing, validation
from include.local_aws.sagemaker.autoscaling import Autoscaling
from include.local_aws.sagemaker.data_capture import DataCapture
from include.local_aws.sagemaker.documents import KINDS, Document, Documents, Kind
from include.local_aws.sagemaker.endpoint_metrics import EndpointMetrics
from include.local_aws.sagemaker.hosted_models import HostedModels
from include.local_aws.sagemaker.hosting import Endpoints
from include.local_aws.sagemaker.invocations import Invocations
from include.local_aws.sagemaker.job_records import JobRecords
from include.local_aws.sagemaker.lifecycle_configs import LifecycleConfigs
from include.local_aws.sagemaker.model_packages import ModelPackages
from include.local_aws.sagemaker.notebook_instances import NotebookInstances
from include.local_aws.sagemaker.processing import ProcessingJobs
from include.local_aws.sagemaker.scalable_targets import TARGET as _SCALING_TARGET
from include.local_aws.sagemaker.scalable_targets import ScalableTargets
from include.local_aws.sagemaker.scaling_activities import ScalingActivities
from include.local_aws.sagemaker.training import TrainingJobs
from include.local_aws.sagemaker.tuning import TuningJobs

_TARGET = "SageMaker."
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")
_OTHER_INVOCATIONS = {
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
_NOT_INVOKED = re.compile(rf"/endpoints/[^/]+/({'|'.join(_OTHER_INVOCATIONS)})")
_INTERRUPTION = re.compile(r"/_local_aws/training-jobs/([^/]+)/interrupt")


class SageMaker:
    """SageMaker and Application Auto Scaling of endpoints, of one account in one region."""

    def __init__(self, config: Config, children: ChildProcesses) -> None:
        self._documents = documents = Documents(config)
        self._training = TrainingJobs(config, children, documents)
        models = HostedModels(config, documents)
        activities = ScalingActivities()
        self.targets = ScalableTargets(config, documents, activities)
        self._endpoints = endpoints = Endpoints(config, children, documents, models, self.targets)
        self._metrics = EndpointMetrics(config)
        self._capture = DataCapture(config)
        self._invocations = Invocations(config.region, endpoints, self._metrics, self._capture)
        self._autoscaling = Autoscaling(config, endpoints, self._invocations, self.targets.all, activities)
        self._packages = ModelPackages(config)
        self.handlers: dict[str, Handler] = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        for kind in KINDS:
            self.handlers[f"Describe{kind.name}"] = self._describe(kind)
            self.handlers[f"List{kind.name}s"] = self._list(kind)
        for part in (
            self._training,
            ProcessingJobs(config, children, documents),
            TuningJobs(config, children, documents, self._training),
            models,
            endpoints,
            self._packages,
            JobRecords(documents),
            LifecycleConfigs(documents),
            NotebookInstances(config, children, documents),
        ):
            self.handlers |= part.operations
        self._operations = JsonOperations(_TARGET, self.handlers, _check)
        list_in_tagging_api(config.region, documents.tagged)

    @staticmethod
    def concerns(request: Request) -> bool:
        """Return whether a request may be for SageMaker or Application Auto Scaling."""
        return request.headers.get("X-Amz-Target", "").startswith((_TARGET, _SCALING_TARGET)) or any(
            path.fullmatch(request.path) for path in (_INVOCATIONS, _NOT_INVOKED, _INTERRUPTION)
        )

    def respond(self, request: Request) -> Response | None:
        """Answer a request, or leave it to moto."""
        invoked = _INVOCATIONS.fullmatch(request.path)
        if invoked:
            return self._invocations.invoke(invoked[1], request)
        not_invoked = _NOT_INVOKED.fullmatch(request.path)
        if not_invoked:
            raise AwsError(
                "ValidationError",
                f"Local AWS does not implement {_OTHER_INVOCATIONS[not_invoked[1]]}. Use InvokeEndpoint.",
            )
        interrupted = _INTERRUPTION.fullmatch(request.path)
        if interrupted and request.method == "POST":
            self._training.interrupt(interrupted[1])
            return json_response({})
        if target_operation(request, _SCALING_TARGET):
            return self.targets.respond(request)
        name = target_operation(request, _TARGET)
        if name not in self.handlers and validation.is_operation(name):
            raise AwsError("ValidationException", f"Local AWS does not implement SageMaker's {name}.")
        return self._operations.respond(request)

    def close(self) -> None:
        """Stop scaling, metrics and data capture; the server ends the processes."""
        self._autoscaling.close()
        self._metrics.close()
        self._capture.close()

    def _describe(self, kind: Kind) -> Handler:
        def describe(request: Document) -> Document:
            document = self._documents.get(kind, request[kind.name_member])
            return validation.answer(f"Describe{kind.name}", document)

        return describe

    def _list(self, kind: Kind) -> Handler:
        return lambda request: listing.list_documents(self._documents, kind, request)

    def _add_tags(self, request: Document) -> Document | None:
        tags = self._tags(request)
        if tags is None:
            return None
        new = {tag["Key"]: tag for tag in request["Tags"]}
        kept = [tag for tag in tags if tag["Key"] not in new]
        self._documents.set_tags(request["ResourceArn"], [*kept, *new.values()])
        return self._list_tags(request)

    def _list_tags(self, request: Document) -> Document | None:
        tags = self._tags(request)
        return None if tags is None else {"Tags": tags}

    def _delete_tags(self, request: Document) -> Document | None:
        tags = self._tags(request)
        if tags is None:
            return None
        kept = [tag for tag in tags if tag["Key"] not in request["TagKeys"]]
        self._documents.set_tags(request["ResourceArn"], kept)
        return {}

    def _tags(self, request: Document) -> list[Document] | None:
        """Return the tags of a resource, or None if moto has the resource.

        :raises AwsError: if it does not exist
        """
        arn = request["ResourceArn"]
        tags = self._documents.tags(arn)
        if tags is None:
            self._documents.check_arn(arn)
            self._packages.check_arn(arn)
        return tags


def _check(operation: str, request: Document) -> None:
    validation.check_request(operation, request)
    implemented.check_members(operation, request)
