"""SageMaker's operations: recognises a request, checks it, and gives it to the part that answers it."""

import json
import re

from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.gateway import json_response
from include.local_aws.processes import ChildProcesses
from include.local_aws.sagemaker import implemented, listing, moto_hooks, validation
from include.local_aws.sagemaker.autoscaling import Autoscaling
from include.local_aws.sagemaker.data_capture import DataCapture
from include.local_aws.sagemaker.documents import KINDS, Document, Documents, Kind, Operation
from include.local_aws.sagemaker.endpoint_metrics import EndpointMetrics
from include.local_aws.sagemaker.hosted_models import HostedModels
from include.local_aws.sagemaker.hosting import Endpoints
from include.local_aws.sagemaker.invocations import Invocations
from include.local_aws.sagemaker.job_records import JobRecords
from include.local_aws.sagemaker.lifecycle_configs import LifecycleConfigs
from include.local_aws.sagemaker.model_packages import ModelPackages
from include.local_aws.sagemaker.notebook_instances import NotebookInstances
from include.local_aws.sagemaker.processing import ProcessingJobs
from include.local_aws.sagemaker.scalable_targets import ScalableTargets
from include.local_aws.sagemaker.training import TrainingJobs
from include.local_aws.sagemaker.tuning import TuningJobs

_TARGET = "SageMaker."
_SCALING_TARGET = "AnyScaleFrontendService."
_INVOCATIONS = re.compile(r"/endpoints/([^/]+)/invocations")
_OTHER_INVOCATIONS = {
    "async-invocations": "InvokeEndpointAsync",
    "invocations-response-stream": "InvokeEndpointWithResponseStream",
}
_NOT_INVOKED = re.compile(rf"/endpoints/[^/]+/({'|'.join(_OTHER_INVOCATIONS)})")
_FAULT = re.compile(r"/_local_aws/endpoints/([^/]+)/fail-next-update")
_INTERRUPTION = re.compile(r"/_local_aws/training-jobs/([^/]+)/interrupt")


class SageMaker:
    """SageMaker of one account in one region; what it does not know goes to moto."""

    def __init__(self, config: Config, children: ChildProcesses) -> None:
        self._documents = Documents(config)
        self._training = TrainingJobs(config, children, self._documents)
        models = HostedModels(config, self._documents)
        self._targets = ScalableTargets(config, self._documents)
        self._endpoints = endpoints = Endpoints(config, children, self._documents, models, self._targets)
        self._metrics = EndpointMetrics(config)
        self._capture = DataCapture(config)
        self._invocations = Invocations(config.region, endpoints, self._metrics, self._capture)
        self._autoscaling = Autoscaling(config, endpoints, self._invocations, self._targets.all)
        self._targets.operations["DescribeScalingActivities"] = self._autoscaling.activities.describe
        packages = ModelPackages(config)
        self._config = config
        self._checks = packages.checks
        self._operations: dict[str, Operation] = {}
        for kind in KINDS:
            self._operations[f"Describe{kind.name}"] = self._describe(kind)
            self._operations[f"List{kind.name}s"] = self._list(kind)
        for part in (
            self._training,
            ProcessingJobs(config, children, self._documents),
            TuningJobs(config, children, self._documents, self._training),
            models,
            endpoints,
            packages,
            JobRecords(self._documents),
            LifecycleConfigs(self._documents),
            NotebookInstances(config, children, self._documents),
        ):
            self._operations |= part.operations
        self._tag_operations = {
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }
        moto_hooks.list_in_tagging_api(config, self._documents)
        moto_hooks.number_pages_of_scalable_targets()

    def respond(self, request: Request) -> Response | None:
        """Answer SageMaker's requests but those about resources of moto's own."""
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
        failing = _FAULT.fullmatch(request.path)
        if failing and request.method == "POST":
            self._endpoints.faults.plan(failing[1], _members(request))
            return json_response({})
        target = request.headers.get("X-Amz-Target", "")
        if target.startswith(_SCALING_TARGET):
            answer = self._targets.answer(target.removeprefix(_SCALING_TARGET), _members(request))
            return None if answer is None else json_response(answer)
        if not target.startswith(_TARGET):
            return None
        name = target.removeprefix(_TARGET)
        operation = self._operations.get(name)
        members = _members(request)
        if name in self._tag_operations and self._documents.tags(str(members.get("ResourceArn"))) is not None:
            operation = self._tag_operations[name]
        if not validation.is_operation(name):
            return None
        implemented.check_operation(name, self._operations.keys())
        validation.check_request(name, members)
        implemented.check_members(name, members)
        if operation is not None:
            return json_response(operation(members))
        self._check_for_moto(name, members)
        return None

    def _check_for_moto(self, name: str, members: Document) -> None:
        """Check what moto answers otherwise than AWS: it accepts what is taken, or fails for what is missing.

        :raises AwsError: as AWS answers
        """
        if name in self._tag_operations:
            self._documents.check_arn(members["ResourceArn"])
            moto_hooks.check_arn(self._config, members["ResourceArn"])
        if name in self._checks:
            self._checks[name](members)

    def close(self) -> None:
        """Stop scaling and counting; the processes are the server's to end."""
        self._autoscaling.close()
        self._metrics.close()
        self._capture.close()

    def _describe(self, kind: Kind) -> Operation:
        def describe(request: Document) -> Document:
            document = self._documents.get(kind, request[kind.name_member])
            return validation.answer(f"Describe{kind.name}", document)

        return describe

    def _list(self, kind: Kind) -> Operation:
        return lambda request: listing.list_documents(self._documents, kind, request)

    def _add_tags(self, request: Document) -> Document:
        arn = request["ResourceArn"]
        new = {tag["Key"]: tag for tag in request["Tags"]}
        kept = [tag for tag in self._documents.tags(arn) or [] if tag["Key"] not in new]
        self._documents.set_tags(arn, [*kept, *new.values()])
        return self._list_tags(request)

    def _list_tags(self, request: Document) -> Document:
        return {"Tags": self._documents.tags(request["ResourceArn"]) or []}

    def _delete_tags(self, request: Document) -> Document:
        arn = request["ResourceArn"]
        kept = [tag for tag in self._documents.tags(arn) or [] if tag["Key"] not in request["TagKeys"]]
        self._documents.set_tags(arn, kept)
        return {}


def _members(request: Request) -> Document:
    try:
        members = json.loads(request.get_data() or b"{}")
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The request's body is not JSON: {error}.") from error
    if not isinstance(members, dict):
        raise AwsError("SerializationException", "The request's body is not a JSON object.")
    return members
