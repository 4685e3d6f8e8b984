"""What the tasks of a run have returned, and what a later task is made of from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from airflow.sdk import Context
from dag_defaults import aws_client
from run_results import RunResults

from include.pipeline import job_requests, known_good, live
from include.pipeline.ec2_records import Ec2Records
from include.pipeline.errors import PermanentError
from include.pipeline.settings import Project


class ReleaseRefusedError(PermanentError):
    """A release of something else than what was decided about; the message says what to do."""


class Done(RunResults):
    """The results of a run of ``train_and_deploy``."""

    @property
    def trained(self) -> Any:
        """What the training has returned, wherever it was."""
        return self["train"] or self["train_on_ec2"]

    def ec2_records(self, project: Project) -> Ec2Records | None:
        """Those of trainings on EC2, where this run trains there."""
        if self.context["params"]["train_on"] != "ec2":
            return None
        return Ec2Records(project, self.environment.bucket, aws_client("s3"))

    @property
    def environment(self) -> job_requests.Environment:
        return job_requests.Environment.model_validate(self["preflight"])

    @property
    def salt(self) -> str:
        """Sets this run's jobs apart from those of earlier runs, where the form asks for it."""
        return self.context["run_id"] if self.context["params"]["retrain"] else ""

    @property
    def address(self) -> str:
        """The page of this run in Airflow."""
        return unquote(self.context["ti"].log_url.partition("/tasks/")[0])

    def model(self, project: Project) -> dict[str, Any]:
        """The request that makes a model of what was trained."""
        return job_requests.model(
            project, self.environment, self.trained["artifact"], inputs=self["check_for_changes"]
        )

    def reason_not_to_ask(self, project: Project) -> str | None:
        """Why nobody's approval is needed, or None where it is."""
        if not self.context["params"]["require_approval"]:
            return "No approval is needed: neither the project nor this run requires it."
        serving = self.read_live(project)
        if serving and serving["model"] == self.model(project)["ModelName"]:
            return "This model is live already."
        return None

    def read_live(self, project: Project) -> dict[str, Any] | None:
        """What serves at this moment."""
        return live.read_live(project, aws_client("sagemaker"), aws_client("lambda"))

    def superseded(self, project: Project) -> str | None:
        """Why this run must not release its candidate any more, or None where it may."""
        return known_good.superseded(
            project,
            self["read_live"]["good"],
            self.model(project)["ModelName"],
            aws_client("sagemaker"),
            aws_client("lambda"),
        )

    def check_release(self, project: Project) -> None:
        """Refuse to release anything but the candidate that was decided about, or if another model went live since.

        :raises ReleaseRefusedError: if so.
        """
        candidate = self.model(project)["ModelName"]
        approved = (self["record_approval"] or {}).get("model")
        if candidate != approved:
            raise ReleaseRefusedError(
                f"This run has approved {approved or 'no model'}, and its candidate is {candidate}. Clear the task "
                "gate with all tasks after it."
            )
        if reason := self.superseded(project):
            raise ReleaseRefusedError(reason)

    def channels(self, project: Project, *, images: bool = False) -> dict[str, str]:
        """The input channels of tuning and training.

        :param images: whether the images are needed even where features are trained on.
        """
        classifier, channels = project.classifier, {}
        if classifier.frozen:
            channels["features"] = self["features"]["output"]
        if images or not classifier.frozen:
            channels["training"] = self["stage_data"]["uri"]
        if classifier.pretrained:
            channels["pretrained"] = self["stage_weights"]["uri"]
        return channels

    def training(self, project: Project) -> dict[str, Any]:
        """What a training is asked for with, wherever it is."""
        int8 = project.classifier.int8_max_accuracy_drop is not None
        return {
            "channels": self.channels(project, images=int8),
            "code": self["package_code"]["uri"],
            "best": self["tune"]["hyperparameters"],
            "salt": self.salt,
        }


def when_run(build: Callable[[Done], Any]) -> Any:
    """What is built when its task runs, such as a request; Airflow shows it among the task's rendered templates."""
    return lambda context, jinja_env: build(Done(context))


def check_release(project: Project) -> Callable[[Context], None]:
    """What a task does first that changes what serves, for its ``pre_execute``: a cleared task runs without others."""
    return lambda context: Done(context).check_release(project)
