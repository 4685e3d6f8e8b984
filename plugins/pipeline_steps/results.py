"""The results of a run's tasks, each under the name of its task, and the requests that are built from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from airflow.sdk import Context
from dag_defaults import aws_client
from run_results import RunResults

from include.aws.documents import AwsRequest
from include.pipeline import job_requests, known_good, live
from include.pipeline.ec2_launch import Launch
from include.pipeline.ec2_records import Ec2Records
from include.pipeline.errors import PermanentError
from include.pipeline.infrastructure import Infrastructure
from include.pipeline.results import (
    Candidate,
    ChosenVersion,
    CostEstimate,
    FunctionVersion,
    GateDecision,
    LiveRelease,
    ProcessingJob,
    RegisteredVersion,
    ReleaseState,
    Scaling,
    ServingImage,
    SmokeTestResult,
    StagedCode,
    StagedData,
    StagedWeights,
    StepResults,
    TrainedModel,
    TuningResult,
    UserAnswer,
)
from include.pipeline.settings import OWN_IMAGE, Project

Kind = TypeVar("Kind", bound=RunResults)


class ReleaseRefusedError(PermanentError):
    """The release differs from the candidate that was approved. The message says what to do."""


@dataclass(frozen=True)
class TrainingInputs:
    """What a training needs from earlier steps, on SageMaker or EC2."""

    channels: dict[str, str]
    """The S3 prefix of each input channel."""
    code: str
    """The S3 URI of the code."""
    best: dict[str, str]
    """The hyperparameters that tuning found."""
    rerun_token: str


class DeploymentResults(RunResults):
    """The results that a release and a rollback have in common."""

    @property
    def read_live(self) -> ReleaseState:
        return self.get("read_live", ReleaseState)

    @property
    def create_model(self) -> str:
        """The name of the SageMaker model."""
        return self.get("create_model", str)

    @property
    def create_endpoint_config(self) -> str:
        """The name of the endpoint configuration."""
        return self.get("create_endpoint_config", str)

    @property
    def suspend_scaling(self) -> Scaling | None:
        """The scaling before the update; None if there was none, or the run did not get that far."""
        return self.find("suspend_scaling", Scaling)


class RollbackResults(DeploymentResults):
    """The results of a run of ``rollback``."""

    @property
    def preflight(self) -> Infrastructure:
        return self.get("preflight", Infrastructure)

    @property
    def list_versions(self) -> list[str]:
        """The labels of the versions."""
        return self.get("list_versions", list[str])

    @property
    def ask_for_version(self) -> UserAnswer | None:
        """The answer; None if the form names a version."""
        return self.find("ask_for_version", UserAnswer)

    @property
    def choose_version(self) -> ChosenVersion:
        return self.get("choose_version", ChosenVersion)

    @property
    def smoke_test(self) -> SmokeTestResult:
        return self.get("smoke_test", SmokeTestResult)

    @property
    def replaced(self) -> LiveRelease:
        """The release that the chosen version replaces."""
        serving = self.read_live.serving
        if serving is None:
            raise PermanentError("No model was live when this run began. Start a new run.")
        return serving


class PipelineResults(DeploymentResults):
    """The results of a run of ``train_and_deploy``."""

    @property
    def environment(self) -> job_requests.Environment:
        """The result of ``preflight``, with the serving image after it has been looked up."""
        environment = self.get("preflight", job_requests.Environment)
        if environment.images.inference != OWN_IMAGE or (found := self.serving_image) is None:
            return environment
        images = environment.images.model_copy(update={"inference": found.uri})
        return environment.model_copy(update={"images": images})

    @property
    def stage_data(self) -> StagedData:
        return self.get("stage_data", StagedData)

    @property
    def package_code(self) -> StagedCode:
        return self.get("package_code", StagedCode)

    @property
    def check_for_changes(self) -> str:
        """The digest of what the candidate is made from."""
        return self.get("check_for_changes", str)

    @property
    def stage_weights(self) -> StagedWeights:
        return self.get("stage_weights", StagedWeights)

    @property
    def weights(self) -> str:
        """The S3 prefix of the pretrained weights, which a frozen backbone always has."""
        uri = self.stage_weights.uri
        assert uri is not None
        return uri

    @property
    def serving_image(self) -> ServingImage | None:
        """None if the project uses AWS's image."""
        return self.find("serving_image", ServingImage)

    @property
    def features(self) -> ProcessingJob:
        return self.get("features", ProcessingJob)

    @property
    def tune(self) -> TuningResult:
        return self.get("tune", TuningResult)

    @property
    def prepare_ec2(self) -> Launch:
        return self.get("prepare_ec2", Launch)

    @property
    def trained(self) -> TrainedModel:
        """The result of the training, on SageMaker or EC2."""
        return self.find("train", TrainedModel) or self.get("train_on_ec2", TrainedModel)

    @property
    def evaluate(self) -> ProcessingJob:
        return self.get("evaluate", ProcessingJob)

    @property
    def register(self) -> RegisteredVersion:
        return self.get("register", RegisteredVersion)

    @property
    def gate(self) -> GateDecision:
        return self.get("gate", GateDecision)

    @property
    def approve(self) -> UserAnswer | None:
        """The answer; None if nobody was asked."""
        return self.find("approve", UserAnswer)

    @property
    def record_approval(self) -> Candidate | None:
        """The candidate that may go live; None if there is none."""
        return self.find("record_approval", Candidate)

    @property
    def put_alarms(self) -> list[str]:
        """The names of the alarms that roll the release back."""
        return self.get("put_alarms", list[str])

    @property
    def deploy_function(self) -> FunctionVersion:
        return self.get("deploy_function", FunctionVersion)

    @property
    def steps(self) -> StepResults:
        """The results that the report shows."""
        return StepResults(
            stage_data=self.stage_data,
            features=self.find("features", ProcessingJob),
            tune=self.find("tune", TuningResult),
            train=self.find("train", TrainedModel),
            train_on_ec2=self.find("train_on_ec2", TrainedModel),
            evaluate=self.find("evaluate", ProcessingJob),
            register=self.find("register", RegisteredVersion),
            gate=self.find("gate", GateDecision),
            smoke_test=self.find("smoke_test", SmokeTestResult),
            estimate_cost=self.find("estimate_cost", CostEstimate),
        )

    def ec2_records(self, project: Project) -> Ec2Records | None:
        """Return the records of trainings on EC2; None if this run trains on SageMaker."""
        if self.context["params"]["train_on"] != "ec2":
            return None
        return Ec2Records(project, self.environment.bucket, aws_client("s3"))

    @property
    def rerun_token(self) -> str:
        """The ID of the run if ``retrain`` is set, so that the run does not adopt jobs of earlier runs."""
        return self.context["run_id"] if self.context["params"]["retrain"] else ""

    @property
    def address(self) -> str:
        """The URL of this run in Airflow."""
        return unquote(self.context["ti"].log_url.partition("/tasks/")[0])

    def model(self, project: Project) -> AwsRequest:
        """Return the request that creates a SageMaker model from the trained model."""
        return job_requests.model(
            project, self.environment, self.trained.artifact, inputs=self.check_for_changes
        )

    def model_name(self, project: Project) -> str:
        """Return the name of the candidate's SageMaker model."""
        name: str = self.model(project)["ModelName"]
        return name

    def reason_not_to_ask(self, project: Project) -> str | None:
        """Return why no approval is needed, or None if one is needed."""
        if not self.context["params"]["require_approval"]:
            return "No approval is needed: neither the project nor this run requires it."
        return "This model is live already." if self.is_live(project) else None

    def live_now(self, project: Project) -> LiveRelease | None:
        """Return the current live release."""
        return live.read_live(project, aws_client("sagemaker"), aws_client("lambda"))

    def is_live(self, project: Project) -> bool:
        """Return whether the candidate is the live model now."""
        serving = self.live_now(project)
        return serving is not None and serving.model == self.model_name(project)

    def superseded(self, project: Project) -> str | None:
        """Return why this run must no longer release its candidate, or None if it may."""
        return known_good.superseded(
            project,
            self.read_live.good,
            self.model_name(project),
            aws_client("sagemaker"),
            aws_client("lambda"),
        )

    def check_release(self, project: Project) -> None:
        """Check that the candidate is the approved one, and that no other model went live since.

        :raises ReleaseRefusedError: If not.
        """
        candidate, approved = self.model_name(project), self.record_approval
        if approved is None or candidate != approved.model:
            found = approved.model if approved else "no model"
            raise ReleaseRefusedError(
                f"This run has approved {found}, and its candidate is {candidate}. Clear the task gate with all tasks "
                "after it."
            )
        if reason := self.superseded(project):
            raise ReleaseRefusedError(reason)

    def channels(self, project: Project, *, images: bool = False) -> dict[str, str]:
        """Return the input channels of tuning and training.

        :param images: Whether the images are needed even if the training uses features.
        """
        classifier, channels = project.classifier, {}
        if classifier.frozen:
            channels["features"] = self.features.output
        if images or not classifier.frozen:
            channels["training"] = self.stage_data.uri
        if weights := self.stage_weights.uri:
            channels["pretrained"] = weights
        return channels

    def training(self, project: Project) -> TrainingInputs:
        """Return what a training needs, on SageMaker or EC2."""
        int8 = project.classifier.int8_max_accuracy_drop is not None
        return TrainingInputs(
            channels=self.channels(project, images=int8),
            code=self.package_code.uri,
            best=self.tune.hyperparameters,
            rerun_token=self.rerun_token,
        )


def template_field(kind: type[Kind], build: Callable[[Kind], Any]) -> Any:
    """Return a template field that is built when its task runs; Airflow shows it in the task's rendered templates."""
    return lambda context, jinja_env: build(kind(context))


def from_results(build: Callable[[PipelineResults], Any]) -> Any:
    """Return a :func:`template_field` of ``train_and_deploy``."""
    return template_field(PipelineResults, build)


def check_release(project: Project) -> Callable[[Context], None]:
    """Return the ``pre_execute`` check of tasks that change the live model, since a cleared task may run alone."""
    return lambda context: PipelineResults(context).check_release(project)
