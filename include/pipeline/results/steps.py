"""The results of all steps that the report of a run shows."""

from __future__ import annotations

from pydantic import Field

from include.pipeline.pages.documents import Document
from include.pipeline.results.costs import CostEstimate
from include.pipeline.results.preparation import StagedData
from include.pipeline.results.release import SmokeTestResult
from include.pipeline.results.review import GateDecision, RegisteredVersion
from include.pipeline.results.training import ProcessingJob, TrainedModel, TuningResult


class StepResults(Document):
    """The results of the steps of a run of ``train_and_deploy``, by task; None for a step that did not succeed."""

    stage_data: StagedData
    features: ProcessingJob | None = None
    tune: TuningResult | None = None
    train: TrainedModel | None = None
    train_on_ec2: TrainedModel | None = None
    evaluate: ProcessingJob | None = None
    registered: RegisteredVersion | None = Field(None, alias="register")
    gate: GateDecision | None = None
    smoke_test: SmokeTestResult | None = None
    estimate_cost: CostEstimate | None = None

    @property
    def trained(self) -> TrainedModel | None:
        """The result of the training, on SageMaker or on EC2."""
        return self.train or self.train_on_ec2

    @property
    def jobs(self) -> dict[str, str | None]:
        """The names of the jobs by step, see :data:`include.pipeline.cost.KINDS`; None for a step without a job."""
        jobs = {
            "features": self.features,
            "tune": self.tune,
            "train": self.trained,
            "evaluate": self.evaluate,
        }
        return {step: job.name if job else None for step, job in jobs.items()}
