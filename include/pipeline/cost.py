"""The cost of a run: the maximum by its time limits, the cost of the same jobs last time, and the billed cost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from include.aws.documents import AwsAnswer
from include.pipeline.ec2_records import Ec2Records
from include.pipeline.errors import PermanentError
from include.pipeline.inventory import is_own, notebook_instance
from include.pipeline.resource_kinds import JOB_OF_STEP, PROCESSING, TRAINING
from include.pipeline.results import BilledCost, CostEstimate, MonthlyCost, StepCost, StepEstimate
from include.pipeline.settings import Project
from include.pipeline.target import is_local

PRICES = Path(__file__).with_name("prices.yaml")
HOURS_PER_MONTH = 730
"""The value that the AWS Pricing Calculator uses: 8,760 hours a year, divided by twelve."""


class CostError(PermanentError):
    """Raised if a run may cost too much, or its cost is unknown; the message has the sum and what to change."""


@dataclass(frozen=True)
class Prices:
    """Prices in US dollars: of instance types per hour, and of Lambda in the units of ``prices.yaml``."""

    date: str
    region: str
    usd: dict[str, float]

    def hours(self, instance_type: str, seconds: float) -> float | None:
        """Return the price of some seconds of one instance; None if the price is unknown."""
        price = self.usd.get(instance_type)
        return None if price is None else price * seconds / 3600


@dataclass(frozen=True)
class Billed:
    """The billed seconds of one job, as seconds of one instance, and the seconds that spot instances saved."""

    instance_type: str
    seconds: float
    saved: float
    created: datetime


@cache
def _price_file() -> Prices:
    content = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    return Prices(str(content["date"]), content["region"], content["usd"])


def read_prices(project: Project) -> Prices:
    """Return the prices in ``prices.yaml``, overridden by those in the project file."""
    prices = _price_file()
    return replace(prices, usd={**prices.usd, **project.cost.prices})


def estimate(
    project: Project, instance_count: int, region: str, sagemaker: Any, ec2: Ec2Records | None = None
) -> CostEstimate:
    """Estimate the maximum cost of a run, its cost by the last jobs, and the monthly cost of what it leaves running.

    A workspace that is in service now counts as left running.

    :param instance_count: the number of instances that train together.
    :param ec2: the records of earlier trainings on EC2 if this one runs there; None on SageMaker.
    """
    prices = read_prices(project)
    steps = []
    for step, (instance_type, seconds) in _limits(project, instance_count, ec2 is not None).items():
        last = last_cost(project, step, sagemaker, ec2)
        steps.append(
            StepEstimate(
                step=step,
                instance_type=instance_type,
                at_most_usd=prices.hours(instance_type, seconds),
                last_usd=prices.hours(last.instance_type, last.seconds) if last else None,
            )
        )
    notebook = notebook_instance(project, sagemaker)
    notebooks = [notebook["InstanceType"]] if notebook and _is_billed(notebook) else []
    monthly = _monthly(project, prices, notebooks)
    types = {*(step.instance_type for step in steps), project.endpoint.instance_type, *notebooks}
    last_times = [step.last_usd for step in steps]
    return CostEstimate(
        steps=steps,
        at_most_usd=_sum(step.at_most_usd for step in steps),
        last_usd=None if None in last_times else _sum(last_times),
        monthly=monthly,
        monthly_usd=_sum(item.usd for item in monthly),
        thousand_calls_usd=_thousand_calls(project, prices),
        unpriced=sorted(kind for kind in types if kind not in prices.usd),
        notes=_notes(prices, region, spot_on_ec2=ec2 is not None and project.ec2.spot),
    )


def check_limit(estimated: CostEstimate, limit: float | None) -> None:
    """Check that a run stays below a limit, even if its jobs take their maximum time.

    :param limit: in US dollars; None for no limit.
    :raises CostError: if the run may cost more; the message has the sum and its parts.
    """
    if limit is None:
        return
    unknown = sorted({step.instance_type for step in estimated.steps if step.at_most_usd is None})
    if unknown:
        raise CostError(
            f"The run does not start: its limit is {dollars(limit)} (max_cost_usd), but the price of "
            f"{', '.join(unknown)} is unknown. Set the price per hour in cost.prices of the project file."
        )
    if estimated.at_most_usd > limit:
        parts = " + ".join(f"{step.step} {dollars(step.at_most_usd)}" for step in estimated.steps)
        raise CostError(
            f"The run does not start: it could cost {dollars(estimated.at_most_usd)} ({parts}), more than its limit "
            f"of {dollars(limit)} (max_cost_usd). Raise the limit in the form or in cost.max_cost_usd of the project "
            "file, or lower max_runtime_minutes or max_jobs there."
        )


def actual(
    project: Project,
    jobs: dict[str, str | None],
    started: datetime,
    sagemaker: Any,
    ec2: Ec2Records | None = None,
) -> BilledCost:
    """Return the billed cost of the run's jobs, from their descriptions. A job of an earlier run costs nothing.

    :param jobs: the name of each step's job; None for a step without a job.
    :param started: when the run started.
    :param ec2: the records of trainings on EC2 if the training ran there.
    """
    prices = read_prices(project)
    steps, saved = [], 0.0
    for step, name in jobs.items():
        if name is None:
            continue
        billed = _billed(step, name, sagemaker, ec2)
        reused = billed.created < started
        seconds = 0.0 if reused else billed.seconds
        usd = prices.hours(billed.instance_type, seconds)
        steps.append(StepCost(step=step, usd=usd, seconds=seconds, reused=reused))
        saved += 0.0 if reused else prices.hours(billed.instance_type, billed.saved) or 0.0
    return BilledCost(steps=steps, usd=_sum(step.usd for step in steps), spot_saved_usd=saved)


def rows(estimated: CostEstimate, billed: BilledCost | None) -> list[tuple[str, str, str, str]]:
    """Return estimate and actual cost, one row per step and one for the sum: step, at most, last time, this run."""
    actually = {step.step: step for step in billed.steps} if billed else {}
    table = []
    for step in estimated.steps:
        here = actually.get(step.step)
        paid = "paid by an earlier run" if here and here.reused else dollars(here.usd if here else None)
        table.append((step.step, dollars(step.at_most_usd), dollars(step.last_usd), paid))
    total = dollars(billed.usd if billed else None)
    return [*table, ("total", dollars(estimated.at_most_usd), dollars(estimated.last_usd), total)]


def verdict(estimated: CostEstimate, limit: float | None) -> str:
    """Return an estimate in one or two sentences.

    :param limit: see :func:`check_limit`.
    """
    last = f", {dollars(estimated.last_usd)} by the last jobs" if estimated.last_usd else ""
    unpriced = f" The price of {', '.join(estimated.unpriced)} is unknown." if estimated.unpriced else ""
    allowed = "no limit is set (max_cost_usd)" if limit is None else f"the limit is {dollars(limit)}"
    return (
        f"The run costs at most {dollars(estimated.at_most_usd)}{last}; {allowed}. What it leaves running costs "
        f"{dollars(estimated.monthly_usd)} per month.{unpriced}"
    )


def show(estimated: CostEstimate) -> str:
    """Return an estimate as text for a log."""
    lines = ["step: at most, last time"]
    lines += [f"{step}: {at_most}, {last}" for step, at_most, last, _ in rows(estimated, None)]
    lines += [f"per month, {item.what}: {dollars(item.usd)}" for item in estimated.monthly]
    lines.append(f"per month, total: {dollars(estimated.monthly_usd)}")
    return "\n".join([*lines, *estimated.notes])


def dollars(amount: float | None) -> str:
    """Return an amount such as ``$1.47``; of small amounts, the first two significant digits: ``$0.0031``."""
    if amount is None:
        return "unknown"
    digits = max(2, 1 - math.floor(math.log10(amount))) if amount else 2
    return f"${amount:,.{digits}f}"


def _limits(project: Project, instance_count: int, on_ec2: bool) -> dict[str, tuple[str, int]]:
    """Return by step the instance type and the maximum seconds of one instance, with each job run once."""
    processing, tuning, training = project.processing, project.tuning, project.training
    once = (processing.instance_type, 60 * processing.max_runtime_minutes)
    trials = 60 * tuning.max_jobs * tuning.max_runtime_minutes
    train = (
        training.instance_type,
        60 * instance_count * (training.max_runtime_minutes + training.keep_alive_minutes),
    )
    if on_ec2:
        train = (project.ec2.instance_type, 60 * project.ec2.lifetime_minutes)
    return {
        **({"features": once} if project.classifier.frozen else {}),
        "tune": (tuning.instance_type, trials),
        "train": train,
        "evaluate": once,
    }


def _is_billed(notebook: AwsAnswer) -> bool:
    return notebook["NotebookInstanceStatus"] not in ("Stopped", "Failed", "Deleting")


def _monthly(project: Project, prices: Prices, notebooks: list[str]) -> list[MonthlyCost]:
    endpoint, function = project.endpoint, project.function
    running = [
        MonthlyCost(
            what=f"{endpoint.min_instances} x {endpoint.instance_type} of the endpoint",
            usd=prices.hours(endpoint.instance_type, 3600 * HOURS_PER_MONTH * endpoint.min_instances),
        )
    ]
    if warm := function.provisioned_concurrency:
        per_second = prices.usd["lambda.provisioned_concurrency"] * function.memory_mb / 1024
        running.append(
            MonthlyCost(
                what=f"{warm} warm environments of the function",
                usd=per_second * warm * 3600 * HOURS_PER_MONTH,
            )
        )
    running += [
        MonthlyCost(
            what=f"1 x {instance_type} of the workspace, unless it is stopped",
            usd=prices.hours(instance_type, 3600 * HOURS_PER_MONTH),
        )
        for instance_type in notebooks
    ]
    return running


def _thousand_calls(project: Project, prices: Prices) -> float:
    """Return the price of a thousand calls of the function that take one second each."""
    function = project.function
    kind = "lambda.provisioned_duration" if function.provisioned_concurrency else "lambda.duration"
    return 1000 * (prices.usd["lambda.request"] + prices.usd[kind] * function.memory_mb / 1024)


def _notes(prices: Prices, region: str, *, spot_on_ec2: bool) -> list[str]:
    notes = [
        f"Prices of {prices.date} in {prices.region}, each job run once; without S3, volumes, logs, alarms and "
        "data transfer."
    ]
    if is_local():
        notes.append("Local AWS is free of charge. These are the prices of AWS for the same seconds.")
    elif region != prices.region:
        notes.append(f"Prices in {region} differ. Set them in cost.prices of the project file.")
    if spot_on_ec2:
        notes.append("The spot price on EC2 varies. The estimate uses the on-demand price.")
    return notes


def last_cost(project: Project, step: str, sagemaker: Any, ec2: Ec2Records | None) -> Billed | None:
    """Return what the newest completed job of a step was billed for; None if it does not exist."""
    if step == "train" and ec2:
        record = ec2.newest()
        return _billed_training(record) if record else None
    kind = JOB_OF_STEP[step]
    # Twenty, because some may belong to a project whose name has the same prefix.
    jobs = kind.newest(sagemaker, 20, NameContains=f"{project.aws_name}-{step}-", StatusEquals="Completed")
    names = [name for name in map(kind.name_of, jobs) if is_own(project, name, step)]
    return _billed(step, names[0], sagemaker, ec2) if names else None


def _billed(step: str, name: str, sagemaker: Any, ec2: Ec2Records | None) -> Billed:
    if step == "train" and ec2:
        return _billed_training(ec2.describe(name))
    kind = JOB_OF_STEP[step]
    job = kind.describe(name, sagemaker)
    if kind == PROCESSING:
        cluster = job["ProcessingResources"]["ClusterConfig"]
        seconds = 0.0
        if "ProcessingStartTime" in job and "ProcessingEndTime" in job:
            seconds = (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds()
        return Billed(cluster["InstanceType"], seconds * cluster["InstanceCount"], 0.0, job["CreationTime"])
    if kind == TRAINING:
        return _billed_training(job)
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name
    )
    trials = [
        _billed_training(TRAINING.describe(TRAINING.name_of(trial), sagemaker))
        for page in pages
        for trial in page["TrainingJobSummaries"]
    ]
    return Billed(
        job["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"],
        sum(trial.seconds for trial in trials),
        sum(trial.saved for trial in trials),
        job["CreationTime"],
    )


def _billed_training(job: AwsAnswer) -> Billed:
    """Return what a training job was billed for. Its billable and warm pool seconds are those of each instance."""
    resources = job["ResourceConfig"]
    billable, taken = job.get("BillableTimeInSeconds", 0), job.get("TrainingTimeInSeconds", 0)
    kept = job.get("WarmPoolStatus", {}).get("ResourceRetainedBillableTimeInSeconds", 0)
    count = resources["InstanceCount"]
    saved = max(0, taken - billable) * count if job.get("EnableManagedSpotTraining") else 0
    return Billed(resources["InstanceType"], (billable + kept) * count, saved, job["CreationTime"])


def _sum(amounts: Iterable[float | None]) -> float:
    return float(sum(amount for amount in amounts if amount is not None))
