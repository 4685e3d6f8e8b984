"""The cost of a run, in US dollars. An unknown amount is None, and is left out of sums."""

from __future__ import annotations

from pydantic import Field

from include.pipeline.pages.documents import Document


class StepEstimate(Document):
    """The estimated cost of one step."""

    step: str
    instance_type: str
    at_most_usd: float | None
    """If the job takes its maximum time."""
    last_usd: float | None
    """The cost of the last job of this kind."""


class MonthlyCost(Document):
    """The monthly cost of something that a run leaves running."""

    what: str
    usd: float | None


class CostEstimate(Document):
    """The result of the task ``estimate_cost``."""

    steps: list[StepEstimate]
    at_most_usd: float
    last_usd: float | None
    """None unless all steps have an amount."""
    monthly: list[MonthlyCost]
    monthly_usd: float
    thousand_calls_usd: float
    """The price of a thousand calls of the function that take one second each."""
    unpriced: list[str] = Field([])
    """The instance types without a known price."""
    notes: list[str] = Field([])


class StepCost(Document):
    """What the job of one step was billed for."""

    step: str
    usd: float | None
    seconds: float
    """Seconds of one instance."""
    reused: bool
    """Whether an earlier run has paid for it."""


class BilledCost(Document):
    """What the jobs of a run were billed for."""

    steps: list[StepCost]
    usd: float
    spot_saved_usd: float


class RunCost(Document):
    """The cost of a run in its report."""

    estimate: CostEstimate
    actual: BilledCost
