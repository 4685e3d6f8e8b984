"""Record which resources a release creates in AWS, and compare them with the inventory of the teardown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow.sdk import DAG
from botocore.client import BaseClient

Request = dict[str, Any]
Resource = tuple[str, str]
"""The kind of the resource in the inventory, and a part of its name there."""

READS = ("Describe", "Get", "Head", "List")
JOBS = {
    "CreateProcessingJob": "ProcessingJobName",
    "CreateHyperParameterTuningJob": "HyperParameterTuningJobName",
    "CreateTrainingJob": "TrainingJobName",
}


def _named(what: str, key: str) -> Callable[[Request, Any], Resource]:
    return lambda request, _: (what, request[key])


def _prefix(request: Request, _: Any) -> Resource:
    return "data", f"/{request['Key'].partition('/')[0]}/"


# By operation: the resource that it creates.
MADE: dict[str, Callable[[Request, Any], Resource]] = {
    **{operation: _named("job", key) for operation, key in JOBS.items()},
    "PutObject": _prefix,
    "CopyObject": _prefix,
    "CompleteMultipartUpload": _prefix,
    "CreateModelPackageGroup": _named("registry", "ModelPackageGroupName"),
    "CreateModelPackage": _named("registry", "ModelPackageGroupName"),
    "CreateModel": _named("model", "ModelName"),
    "CreateEndpointConfig": _named("endpoint configuration", "EndpointConfigName"),
    "CreateEndpoint": _named("endpoint", "EndpointName"),
    "PutMetricAlarm": _named("alarm", "AlarmName"),
    "RegisterScalableTarget": _named("scaling", "ResourceId"),
    "PutScalingPolicy": _named("scaling", "ResourceId"),
    "CreateFunction": _named("function", "FunctionName"),
    # These belong to the function and are deleted with it.
    "PublishVersion": _named("function", "FunctionName"),
    "CreateAlias": _named("function", "FunctionName"),
    "PutFunctionConcurrency": _named("function", "FunctionName"),
    "PutProvisionedConcurrencyConfig": _named("function", "FunctionName"),
    "CreateFunctionUrlConfig": _named("function", "FunctionName"),
    "AddPermission": _named("function", "FunctionName"),
    "CreateLogGroup": _named("logs", "logGroupName"),
    "CreateSecurityGroup": lambda _, answer: ("security group", answer["GroupId"]),
    "RunInstances": lambda _, answer: ("instance", answer["Instances"][0]["InstanceId"]),
}
# By operation: the resource that it deletes.
REMOVED: dict[str, Callable[[Request], Resource]] = {
    "DeleteModel": lambda request: ("model", request["ModelName"]),
    "DeleteEndpointConfig": lambda request: ("endpoint configuration", request["EndpointConfigName"]),
    "DeleteEndpoint": lambda request: ("endpoint", request["EndpointName"]),
    "DeleteFunction": lambda request: ("function", request["FunctionName"]),
    "DeregisterScalableTarget": lambda request: ("scaling", request["ResourceId"]),
    "TerminateInstances": lambda request: ("instance", request["InstanceIds"][0]),
}
# These operations create nothing that a teardown must find: they change or complete what another call creates.
CHANGES = {
    *("AddTags", "CreateTags", "CreateMultipartUpload", "UploadPart", "DeleteModelPackage"),
    *("UpdateModelPackage", "UpdateEndpoint", "UpdateAlias", "UpdateFunctionCode", "Invoke"),
    *("UpdateFunctionConfiguration", "UpdateFunctionUrlConfig", "SendCommand", "RevokeSecurityGroupEgress"),
    *("AuthorizeSecurityGroupEgress", "TagResource", "Publish", "PutRetentionPolicy"),
}


@dataclass(frozen=True)
class Wanted:
    """Describes a release that a child process of killed_runs.py runs.

    :param conf: the configuration of the run.
    :param settings: keys in sections of the project's file that differ.
    :param steps: the steps in which the inventory is compared. None means all steps.
    :param kill: the step and the operation after which the process kills itself. None means that it does not.
    :param fails: whether the smoke test fails.
    """

    conf: dict[str, Any]
    settings: dict[str, dict[str, Any]]
    steps: set[str] | None = None
    kill: tuple[str, str] | None = None
    fails: bool = False


class ReleaseRecord:
    """Records the resources that a release creates, and compares them with the inventory in each step.

    The inventory is compared after the first call of a step that changes something, if there are resources with which
    it was not compared before. What the later calls of the step create is compared in the next step, and after the
    last step by :meth:`compare`. The calls of triggers are not recorded, since they only read.

    :param look: return the inventory.
    :param steps: the steps in which the inventory is compared. None means all steps.
    :param then: is called with the step and the operation after each call that changes something.
    """

    def __init__(
        self,
        look: Callable[[], list[dict[str, str]]],
        steps: set[str] | None = None,
        then: Callable[[str, str], None] = lambda step, operation: None,
    ) -> None:
        self._look, self._steps, self._then = look, steps, then
        self._lock = threading.RLock()  # some steps call from several threads
        self._step = ""
        self._exists: set[Resource] = set()
        self._warm_pools: set[Resource] = set()
        self._has_changed = False
        self._compared: set[Resource] = set()
        self.ended: list[str] = []
        """The steps that have ended."""
        self.jobs: list[str] = []
        """The operations that have started jobs."""
        self.missed: list[str] = []
        """What is wrong: resources that the inventory lacks, and operations that this module does not know."""

    def watch(self, dag: DAG) -> None:
        """Record the calls of this process and the steps of this DAG from now on."""
        call = BaseClient._make_api_call  # noqa: SLF001

        def noted(client: BaseClient, operation: str, request: Request) -> Any:
            answer = call(client, operation, request)
            if not operation.startswith(READS):
                with self._lock:
                    self._note(operation, request, answer)
            return answer

        BaseClient._make_api_call = noted  # noqa: SLF001
        for task in dag.tasks:
            task.pre_execute = self._beginning(task.task_id)
            task.on_success_callback = [*_callbacks(task.on_success_callback), self._end]
            task.on_skipped_callback = [*_callbacks(task.on_skipped_callback), self._end]
            task.on_failure_callback = [*_callbacks(task.on_failure_callback), self._end]

    def _beginning(self, step: str) -> Callable[[Any], None]:
        def begin(_: Any) -> None:
            self._step, self._has_changed = step, False

        return begin

    def _note(self, operation: str, request: Request, answer: Any) -> None:
        if operation in MADE:
            self._exists.add(MADE[operation](request, answer))
        elif operation in REMOVED:
            self._exists.discard(REMOVED[operation](request))
        elif operation not in CHANGES:
            self.missed.append(f"{self._step}: add {operation} to tests/e2e/release_record.py")
        if operation in JOBS:
            self.jobs.append(operation)
        if request.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds"):
            self._warm_pools.add(("warm pool", request["TrainingJobName"]))
        if not self._has_changed:
            self._has_changed = True
            if not self._exists <= self._compared:
                self.compare()
        self._then(self._step, operation)

    def _end(self, _: Any) -> None:
        with self._lock:
            # The warm pool is available after the job has ended.
            self._exists |= self._warm_pools
            self._warm_pools = set()
            self.ended.append(self._step)

    def compare(self) -> None:
        """Compare the resources that the release has created so far with the inventory."""
        if self._steps is not None and self._step not in self._steps:
            return
        self._compared = set(self._exists)
        found = [(row.what, row.name) for row in self._look()]
        self.missed += [
            f"{self._step}: {what} {name}"
            for what, name in sorted(self._exists)
            if not any(what == kind and name in text for kind, text in found)
        ]


def _callbacks(callbacks: Any) -> Iterator[Any]:
    """Yield the callbacks of a task, which can be None, one or several."""
    if callbacks is None:
        return
    yield from callbacks if isinstance(callbacks, list | tuple) else [callbacks]
