"""What a run costs: at most, by its time limits; by what the same jobs took last time; and afterwards, as billed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from include.pipeline.ec2_records import Ec2Records
from include.pipeline.errors import PermanentError
from include.pipeline.inventory import is_own, notebook_instance
from include.pipeline.settings import Project
from include.pipeline.target import is_local

PRICES = Path(__file__).with_name("prices.yaml")
HOURS_PER_MONTH = 730
"""As AWS's own calculator reckons: 8,760 hours a year, by twelve."""

KINDS = {"features": "processing", "tune": "tuning", "train": "training", "evaluate": "processing"}
"""By a step of the pipeline: the kind of its job."""


class CostError(PermanentError):
    """A run that may cost too much, or nobody knows how much; the message shows the sum and what to change."""


@dataclass(frozen=True)
class Prices:
    """Prices in US dollars: of instance types by the hour, and of Lambda as ``prices.yaml`` says."""

    date: str
    region: str
    usd: dict[str, float]

    def hours(self, instance_type: str, seconds: float) -> float | None:
        """What so many seconds of one instance cost; None where the price is unknown."""
        price = self.usd.get(instance_type)
        return None if price is None else price * seconds / 3600


@dataclass(frozen=True)
class Billed:
    """What one job was billed for: seconds of one instance, and the seconds that spot instances saved."""

    instance_type: str
    seconds: float
    saved: float
    created: datetime


@cache
def _price_file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(PRICES.read_text(encoding="utf-8"))
    return content


def read_prices(project: Project) -> Prices:
    """The prices of ``prices.yaml``, with the project's own laid over them."""
    content = _price_file()
    return Prices(str(content["date"]), content["region"], {**content["usd"], **project.cost.prices})


def estimate(
    project: Project, instance_count: int, region: str, sagemaker: Any, ec2: Ec2Records | None = None
) -> dict[str, Any]:
    """What a run costs at most, what its jobs took last time, and what it leaves running costs per month.

    A workspace that is in service now counts as left running.

    :param instance_count: how many instances train together.
    :param ec2: what earlier trainings on EC2 left, where this one is to run there; None where on SageMaker.
    :return: ``steps`` (``step``, ``instance_type``, ``at_most_usd``, ``last_usd``), their sums, ``monthly`` (``what``,
        ``usd``), its sum, ``thousand_calls_usd``, ``unpriced`` (instance types without a price) and ``notes``. An
        amount that is not known is None, and is not in a sum; ``last_usd`` has a sum only where all steps have one.
    """
    prices = read_prices(project)
    steps = []
    for step, (instance_type, seconds) in _limits(project, instance_count, ec2 is not None).items():
        last = _last(project, step, sagemaker, ec2)
        steps.append(
            {
                "step": step,
                "instance_type": instance_type,
                "at_most_usd": prices.hours(instance_type, seconds),
                "last_usd": prices.hours(last.instance_type, last.seconds) if last else None,
            }
        )
    notebook = notebook_instance(project, sagemaker)
    notebooks = [notebook["InstanceType"]] if notebook and _is_billed(notebook) else []
    monthly = _monthly(project, prices, notebooks)
    types = {*(step["instance_type"] for step in steps), project.endpoint.instance_type, *notebooks}
    return {
        "steps": steps,
        "at_most_usd": _sum(step["at_most_usd"] for step in steps),
        "last_usd": (
            _sum(step["last_usd"] for step in steps)
            if all(step["last_usd"] is not None for step in steps)
            else None
        ),
        "monthly": monthly,
        "monthly_usd": _sum(item["usd"] for item in monthly),
        "thousand_calls_usd": _thousand_calls(project, prices),
        "unpriced": sorted(kind for kind in types if kind not in prices.usd),
        "notes": _notes(prices, region, spot_on_ec2=ec2 is not None and project.ec2.spot),
    }


def check_limit(estimated: dict[str, Any], limit: float | None) -> None:
    """Verify that a run stays below a limit, even if its jobs take all the time they may.

    :param limit: in US dollars; None for no limit.
    :raises CostError: with the sum and its parts, if it does not.
    """
    if limit is None:
        return
    unknown = sorted({step["instance_type"] for step in estimated["steps"] if step["at_most_usd"] is None})
    if unknown:
        raise CostError(
            f"The run does not start: its limit is {dollars(limit)} (max_cost_usd), and there is no price of "
            f"{', '.join(unknown)}. Set the price per hour in cost.prices of the project file."
        )
    if estimated["at_most_usd"] > limit:
        parts = " + ".join(f"{step['step']} {dollars(step['at_most_usd'])}" for step in estimated["steps"])
        raise CostError(
            f"The run does not start: it could cost {dollars(estimated['at_most_usd'])} ({parts}), more than its limit "
            f"of {dollars(limit)} (max_cost_usd). Raise the limit in the form or in cost.max_cost_usd of the project "
            "file, or lower max_runtime_minutes or max_jobs there."
        )


def actual(
    project: Project,
    jobs: dict[str, str | None],
    started: datetime,
    sagemaker: Any,
    ec2: Ec2Records | None = None,
) -> dict[str, Any]:
    """What the run's jobs are billed, from their descriptions. A job that an earlier run paid for costs nothing.

    :param jobs: the name of each step's job; None where there was none.
    :param started: when the run began.
    :param ec2: the records of trainings on EC2, where this run's training ran there.
    :return: ``steps`` (``step``, ``usd``, ``seconds`` of one instance, ``reused``), ``usd`` and ``spot_saved_usd``.
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
        steps.append({"step": step, "usd": usd, "seconds": seconds, "reused": reused})
        saved += 0.0 if reused else prices.hours(billed.instance_type, billed.saved) or 0.0
    return {"steps": steps, "usd": _sum(step["usd"] for step in steps), "spot_saved_usd": saved}


def rows(estimated: dict[str, Any], billed: dict[str, Any] | None) -> list[tuple[str, str, str, str]]:
    """Estimate against actual, one row per step and one for the sum: step, at most, last time, this run."""
    actually = {step["step"]: step for step in billed["steps"]} if billed else {}
    table = []
    for step in estimated["steps"]:
        here = actually.get(step["step"])
        paid = (
            ("paid by an earlier run" if here["reused"] else dollars(here["usd"])) if here else dollars(None)
        )
        table.append((step["step"], dollars(step["at_most_usd"]), dollars(step["last_usd"]), paid))
    total = dollars(billed["usd"] if billed else None)
    return [*table, ("in all", dollars(estimated["at_most_usd"]), dollars(estimated["last_usd"]), total)]


def verdict(estimated: dict[str, Any], limit: float | None) -> str:
    """An estimate in one sentence or two.

    :param limit: see :func:`check_limit`.
    """
    last = f", {dollars(estimated['last_usd'])} by the jobs of last time" if estimated["last_usd"] else ""
    unpriced = f" No price is known of {', '.join(estimated['unpriced'])}." if estimated["unpriced"] else ""
    allowed = "no limit is set (max_cost_usd)" if limit is None else f"the limit is {dollars(limit)}"
    return (
        f"The run costs at most {dollars(estimated['at_most_usd'])}{last}; {allowed}. What it leaves running costs "
        f"{dollars(estimated['monthly_usd'])} per month.{unpriced}"
    )


def show(estimated: dict[str, Any]) -> str:
    """An estimate as text for a log."""
    lines = ["step: at most, last time"]
    lines += [f"{step}: {at_most}, {last}" for step, at_most, last, _ in rows(estimated, None)]
    lines += [f"per month, {item['what']}: {dollars(item['usd'])}" for item in estimated["monthly"]]
    lines.append(f"per month in all: {dollars(estimated['monthly_usd'])}")
    return "\n".join([*lines, *estimated["notes"]])


def dollars(amount: float | None) -> str:
    """``$1.47``, and of small amounts the first two digits that are not 0: ``$0.0031``."""
    if amount is None:
        return "unknown"
    digits = max(2, 1 - math.floor(math.log10(amount))) if amount else 2
    return f"${amount:,.{digits}f}"


def _limits(project: Project, instance_count: int, on_ec2: bool) -> dict[str, tuple[str, int]]:
    """By step: the instance type, and the seconds of one instance that the limits allow, each job run once."""
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


def _is_billed(notebook: dict[str, Any]) -> bool:
    return notebook["NotebookInstanceStatus"] not in ("Stopped", "Failed", "Deleting")


def _monthly(project: Project, prices: Prices, notebooks: list[str]) -> list[dict[str, Any]]:
    endpoint, function = project.endpoint, project.function
    running = [
        {
            "what": f"{endpoint.min_instances} x {endpoint.instance_type} of the endpoint",
            "usd": prices.hours(endpoint.instance_type, 3600 * HOURS_PER_MONTH * endpoint.min_instances),
        }
    ]
    if warm := function.provisioned_concurrency:
        per_second = prices.usd["lambda.provisioned_concurrency"] * function.memory_mb / 1024
        running.append(
            {
                "what": f"{warm} warm environments of the function",
                "usd": per_second * warm * 3600 * HOURS_PER_MONTH,
            }
        )
    running += [
        {
            "what": f"1 x {instance_type} of the workspace, unless it is stopped",
            "usd": prices.hours(instance_type, 3600 * HOURS_PER_MONTH),
        }
        for instance_type in notebooks
    ]
    return running


def _thousand_calls(project: Project, prices: Prices) -> float:
    """What a thousand calls of the function cost that take a second each."""
    function = project.function
    kind = "lambda.provisioned_duration" if function.provisioned_concurrency else "lambda.duration"
    return 1000 * (prices.usd["lambda.request"] + prices.usd[kind] * function.memory_mb / 1024)


def _notes(prices: Prices, region: str, *, spot_on_ec2: bool) -> list[str]:
    notes = [
        f"Prices of {prices.date} in {prices.region}, each job run once; without S3, volumes, logs, alarms and "
        "data transfer."
    ]
    if is_local():
        notes.append("Local AWS bills nothing: this is what AWS would, for the same seconds.")
    elif region != prices.region:
        notes.append(f"Prices in {region} differ; cost.prices of the project file takes them.")
    if spot_on_ec2:
        notes.append(
            "The market says what EC2's spot instance costs; it is reckoned as if it were on demand."
        )
    return notes


def _last(project: Project, step: str, sagemaker: Any, ec2: Ec2Records | None) -> Billed | None:
    """What the newest completed job of a step was billed for; None where there is none."""
    if step == "train" and ec2:
        record = ec2.newest()
        return _billed_training(record) if record else None
    operation, key, name_key = {
        "processing": ("list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName"),
        "tuning": (
            "list_hyper_parameter_tuning_jobs",
            "HyperParameterTuningJobSummaries",
            "HyperParameterTuningJobName",
        ),
        "training": ("list_training_jobs", "TrainingJobSummaries", "TrainingJobName"),
    }[KINDS[step]]
    answer = getattr(sagemaker, operation)(
        NameContains=f"{project.aws_name}-{step}-",
        StatusEquals="Completed",
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=20,  # a few may be those of a project whose name begins like this one's
    )
    names = [job[name_key] for job in answer[key] if is_own(project, job[name_key], step)]
    return _billed(step, names[0], sagemaker, ec2) if names else None


def _billed(step: str, name: str, sagemaker: Any, ec2: Ec2Records | None) -> Billed:
    if step == "train" and ec2:
        return _billed_training(ec2.describe(name))
    kind = KINDS[step]
    if kind == "processing":
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        cluster = job["ProcessingResources"]["ClusterConfig"]
        seconds = 0.0
        if "ProcessingStartTime" in job and "ProcessingEndTime" in job:
            seconds = (job["ProcessingEndTime"] - job["ProcessingStartTime"]).total_seconds()
        return Billed(cluster["InstanceType"], seconds * cluster["InstanceCount"], 0.0, job["CreationTime"])
    if kind == "training":
        return _billed_training(sagemaker.describe_training_job(TrainingJobName=name))
    tuning = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name
    )
    trials = [
        _billed_training(sagemaker.describe_training_job(TrainingJobName=trial["TrainingJobName"]))
        for page in pages
        for trial in page["TrainingJobSummaries"]
    ]
    return Billed(
        tuning["TrainingJobDefinition"]["ResourceConfig"]["InstanceType"],
        sum(trial.seconds for trial in trials),
        sum(trial.saved for trial in trials),
        tuning["CreationTime"],
    )


def _billed_training(job: dict[str, Any]) -> Billed:
    """A training job's billable seconds are those of each of its instances, and so are those of its warm pool."""
    resources = job["ResourceConfig"]
    billable, taken = job.get("BillableTimeInSeconds", 0), job.get("TrainingTimeInSeconds", 0)
    kept = job.get("WarmPoolStatus", {}).get("ResourceRetainedBillableTimeInSeconds", 0)
    count = resources["InstanceCount"]
    saved = max(0, taken - billable) * count if job.get("EnableManagedSpotTraining") else 0
    return Billed(resources["InstanceType"], (billable + kept) * count, saved, job["CreationTime"])


def _sum(amounts: Any) -> float:
    return float(sum(amount for amount in amounts if amount is not None))
