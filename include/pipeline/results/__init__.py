"""What tasks exchange: frozen models, stored as plain JSON.

A step returns a model, its task stores the JSON in an XCom, and later tasks read it back as the model: see
``plugins/run_results.py``. Operators return JSON, which has models here too.
"""

from __future__ import annotations

from include.pipeline.results.costs import (
    BilledCost,
    CostEstimate,
    MonthlyCost,
    RunCost,
    StepCost,
    StepEstimate,
)
from include.pipeline.results.evaluation import (
    Bin,
    ClassFigures,
    Difference,
    Evaluation,
    Incomparable,
    Mistake,
    ModelFigures,
    WorstClass,
)
from include.pipeline.results.preparation import ServingImage, StagedCode, StagedData, StagedWeights
from include.pipeline.results.release import (
    CleanUp,
    FunctionAnswer,
    FunctionVersion,
    GoodRelease,
    LiveRelease,
    Prediction,
    ReleaseState,
    Scaling,
    SmokeTestRequest,
    SmokeTestResult,
)
from include.pipeline.results.reports import ReleaseReport, RollbackReport, RunReport
from include.pipeline.results.resources import PlannedResource, PreparedWorkspace, Resource
from include.pipeline.results.review import (
    Candidate,
    ChosenVersion,
    GateDecision,
    RegisteredVersion,
    User,
    UserAnswer,
)
from include.pipeline.results.steps import StepResults
from include.pipeline.results.training import (
    Epoch,
    ProcessingJob,
    TrainedModel,
    TrainingRecord,
    TrainingWarning,
    Trial,
    TuningResult,
)

__all__ = [
    "BilledCost",
    "Bin",
    "Candidate",
    "ChosenVersion",
    "ClassFigures",
    "CleanUp",
    "CostEstimate",
    "Difference",
    "Epoch",
    "Evaluation",
    "FunctionAnswer",
    "FunctionVersion",
    "GateDecision",
    "GoodRelease",
    "Incomparable",
    "LiveRelease",
    "Mistake",
    "ModelFigures",
    "MonthlyCost",
    "PlannedResource",
    "Prediction",
    "PreparedWorkspace",
    "ProcessingJob",
    "RegisteredVersion",
    "ReleaseReport",
    "ReleaseState",
    "Resource",
    "RollbackReport",
    "RunCost",
    "RunReport",
    "Scaling",
    "ServingImage",
    "SmokeTestRequest",
    "SmokeTestResult",
    "StagedCode",
    "StagedData",
    "StagedWeights",
    "StepCost",
    "StepEstimate",
    "StepResults",
    "TrainedModel",
    "TrainingRecord",
    "TrainingWarning",
    "Trial",
    "TuningResult",
    "User",
    "UserAnswer",
    "WorstClass",
]
