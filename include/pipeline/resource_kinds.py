"""The kinds of resources that a project has in AWS: how to list, describe and stop them, and what a teardown does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from include.aws.documents import AwsAnswer


@dataclass(frozen=True)
class SageMakerKind:
    """A kind of SageMaker resource. Its names in ARNs, operations and members follow from one another.

    :param title: what messages call it.
    :param noun: its name in members of requests and answers, such as ``TrainingJob`` in ``TrainingJobName``.
    :param listing: the member of a list operation's answer.
    :param steps: the words after the project's name in names that :mod:`include.pipeline.names` makes.
    :param operation: its name in boto3 operations.
    """

    title: str
    noun: str
    listing: str
    steps: tuple[str, ...]
    operation: str
    is_job: bool = False

    @property
    def in_arn(self) -> str:
        """Its name in an ARN, such as ``training-job``."""
        return self.operation.replace("_", "-")

    def name_of(self, resource: AwsAnswer) -> str:
        """Return the name in a description, or in a row of a list."""
        name: str = resource[f"{self.noun}Name"]
        return name

    def status_of(self, resource: AwsAnswer) -> str:
        """Return the status in a description."""
        status: str = resource[f"{self.noun}Status"]
        return status

    def arn_of(self, resource: AwsAnswer) -> str:
        """Return the ARN in a description, or in a row of a list."""
        arn: str = resource[f"{self.noun}Arn"]
        return arn

    def describe(self, name: str, sagemaker: Any) -> AwsAnswer:
        """Return SageMaker's description."""
        found: AwsAnswer = self._call("describe", name, sagemaker)
        return found

    def stop(self, name: str, sagemaker: Any) -> None:
        """Stop a job or notebook instance."""
        self._call("stop", name, sagemaker)

    def delete(self, name: str, sagemaker: Any) -> None:
        """Delete the resource."""
        self._call("delete", name, sagemaker)

    def rows(self, sagemaker: Any, **filters: Any) -> Iterator[AwsAnswer]:
        """Yield the rows of all pages of the list operation."""
        for page in sagemaker.get_paginator(f"list_{self.operation}s").paginate(**filters):
            yield from page.get(self.listing, [])

    def newest(self, sagemaker: Any, count: int, **filters: Any) -> list[AwsAnswer]:
        """Return the newest rows of the list operation."""
        answer = getattr(sagemaker, f"list_{self.operation}s")(
            SortBy="CreationTime", SortOrder="Descending", MaxResults=count, **filters
        )
        found: list[AwsAnswer] = answer[self.listing]
        return found

    def _call(self, verb: str, name: str, sagemaker: Any) -> Any:
        return getattr(sagemaker, f"{verb}_{self.operation}")(**{f"{self.noun}Name": name})


TUNING = SageMakerKind(
    "tuning job",
    "HyperParameterTuningJob",
    "HyperParameterTuningJobSummaries",
    ("tune",),
    "hyper_parameter_tuning_job",
    is_job=True,
)
TRAINING = SageMakerKind(
    "training job",
    "TrainingJob",
    "TrainingJobSummaries",
    ("train", "workspace"),
    "training_job",
    is_job=True,
)
PROCESSING = SageMakerKind(
    "processing job",
    "ProcessingJob",
    "ProcessingJobSummaries",
    ("features", "evaluate"),
    "processing_job",
    is_job=True,
)
NOTEBOOK = SageMakerKind(
    "notebook instance", "NotebookInstance", "NotebookInstances", (), "notebook_instance"
)
LIFECYCLE = SageMakerKind(
    "lifecycle configuration",
    "NotebookInstanceLifecycleConfig",
    "NotebookInstanceLifecycleConfigs",
    (),
    "notebook_instance_lifecycle_config",
)
ENDPOINT = SageMakerKind("endpoint", "Endpoint", "Endpoints", (), "endpoint")
ENDPOINT_CONFIG = SageMakerKind(
    "endpoint configuration", "EndpointConfig", "EndpointConfigs", ("config",), "endpoint_config"
)
MODEL = SageMakerKind("model", "Model", "Models", ("model",), "model")
REGISTRY = SageMakerKind(
    "model package group", "ModelPackageGroup", "ModelPackageGroupSummaryList", (), "model_package_group"
)

SAGEMAKER = (
    TUNING,
    TRAINING,
    PROCESSING,
    NOTEBOOK,
    LIFECYCLE,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    REGISTRY,
)
"""All kinds, in the order of their removal: a tuning job starts training jobs, and an endpoint needs the rest."""
BY_ARN = {kind.in_arn: kind for kind in SAGEMAKER}
JOBS = tuple(kind for kind in SAGEMAKER if kind.is_job)
JOB_OF_STEP = {step: kind for kind in JOBS for step in kind.steps}
"""The kind of job by step of the pipeline."""


@dataclass(frozen=True)
class Removal:
    """What a teardown does with the resources that the inventory lists under one title.

    :param then: what is done with them.
    :param option: the option of the teardown that has to be on.
    """

    then: str = "is deleted"
    option: str | None = None


REMOVALS = {
    "job": Removal("is stopped if it is running; its record stays"),
    "warm pool": Removal("is ended"),
    "workspace": Removal(option="delete_workspace"),
    "instance": Removal("is terminated"),
    "security group": Removal(),
    "function": Removal(),
    "scaling": Removal(),
    "endpoint": Removal(),
    "endpoint configuration": Removal(),
    "model": Removal(),
    "alarm": Removal(),
    "registry": Removal(option="delete_registry"),
    "data": Removal(option="delete_data"),
    "logs": Removal(option="delete_logs"),
    "infrastructure": Removal(
        "is deleted if no other project needs it; its bucket stays", "delete_infrastructure"
    ),
}
"""By the title of a resource in the inventory, in the order of a teardown."""
