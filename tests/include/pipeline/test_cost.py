"""Estimates by limits and by earlier jobs, the cost limit of a run, and the billed cost of jobs, on local AWS."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from include.pipeline import cost, names
from include.pipeline.cost import CostError
from include.pipeline.ec2_records import Ec2Records
from include.pipeline.project_files import load_project, read_projects
from include.pipeline.results import BilledCost, CostEstimate, MonthlyCost, StepCost
from include.pipeline.settings import (
    LAMBDA_PRICES,
    Classifier,
    Cost,
    Ec2,
    Endpoint,
    Function,
    Processing,
    Project,
    SettingsError,
    Training,
    Tuning,
)
from tests.include.pipeline.standing import Standing

HOUR = 60


@pytest.fixture
def project() -> Project:
    """A project with round limits and prices."""
    return Project(
        name=f"c{uuid.uuid4().hex[:8]}",
        description="x",
        poll_seconds=1,
        processing=Processing(instance_type="ml.a.large", max_runtime_minutes=2 * HOUR),
        tuning=Tuning(instance_type="ml.b.large", max_jobs=3, max_runtime_minutes=HOUR),
        training=Training(instance_type="ml.b.large", max_runtime_minutes=HOUR, keep_alive_minutes=30),
        endpoint=Endpoint(instance_type="ml.a.large", min_instances=2, max_instances=4),
        function=Function(memory_mb=512, provisioned_concurrency=2),
        cost=Cost(
            prices={
                "ml.a.large": 1,
                "ml.b.large": 10,
                "lambda.provisioned_concurrency": 0.001,
                "lambda.provisioned_duration": 0.002,
                "lambda.request": 0.0005,
            }
        ),
    )


def estimate(
    project: Project, sagemaker: Any = None, instance_count: int = 1, region: str = "us-east-1"
) -> CostEstimate:
    """Return the estimate; without a client, before any job has run."""
    with mock_aws():
        return cost.estimate(project, instance_count, region, sagemaker or boto3.client("sagemaker"))


def test_a_run_costs_at_most_what_the_limits_of_its_jobs_allow(project: Project) -> None:
    estimated = estimate(project, instance_count=2)
    assert {step.step: step.at_most_usd for step in estimated.steps} == {
        "features": 2.0,
        "tune": 30.0,
        "train": 30.0,  # two instances for an hour and a half
        "evaluate": 2.0,
    }
    assert estimated.at_most_usd == 64.0
    assert estimated.last_usd is None


def test_features_cost_nothing_without_a_features_job(project: Project) -> None:
    all_layers = project.model_copy(update={"classifier": Classifier(train_layers="all")})
    assert "features" not in [step.step for step in estimate(all_layers).steps]


def test_the_estimate_has_the_monthly_cost_of_what_stays(project: Project) -> None:
    estimated = estimate(project)
    assert [item.usd for item in estimated.monthly] == [
        2 * 730,
        pytest.approx(0.001 * 2 / 2 * 3600 * 730),
    ]
    assert estimated.thousand_calls_usd == pytest.approx(1000 * (0.0005 + 0.002 / 2))


def test_a_workspace_in_service_adds_to_the_monthly_cost(project: Project) -> None:
    with mock_aws():
        sagemaker, name = boto3.client("sagemaker"), names.workspace_name(project)
        role = "arn:aws:iam::123456789012:role/any"
        for instance in (name, f"{name}-of-somebody-else"):
            sagemaker.create_notebook_instance(
                NotebookInstanceName=instance, InstanceType="ml.m5.xlarge", RoleArn=role
            )
        told = estimate(project, sagemaker)
        assert told.monthly[2:] == [
            MonthlyCost.model_construct(
                what="1 x ml.m5.xlarge of the workspace, unless it is stopped", usd=pytest.approx(0.23 * 730)
            )
        ]
        sagemaker.stop_notebook_instance(NotebookInstanceName=name)
        assert len(estimate(project, sagemaker).monthly) == 2


def test_a_run_that_could_cost_too_much_is_refused_with_its_sum(project: Project) -> None:
    estimated = estimate(project)
    for limit in (None, 49.0):
        cost.check_limit(estimated, limit)
    with pytest.raises(
        CostError,
        match=re.escape(
            "could cost $49.00 (features $2.00 + tune $30.00 + train $15.00 + evaluate $2.00), "
            "more than its limit of $48.99 (max_cost_usd)."
        ),
    ):
        cost.check_limit(estimated, 48.99)


def test_a_limit_needs_the_price_of_every_instance_type(project: Project) -> None:
    unpriced = project.model_copy(update={"cost": Cost()})
    estimated = estimate(unpriced)
    assert estimated.unpriced == ["ml.a.large", "ml.b.large"]
    with pytest.raises(
        CostError, match=r"the price of ml\.a\.large, ml\.b\.large is unknown\. Set the price"
    ):
        cost.check_limit(estimated, 1000)


def test_the_estimate_notes_that_prices_of_another_region_differ(project: Project) -> None:
    abroad = estimate(project, region="eu-west-1")
    assert any("Prices in eu-west-1 differ" in note for note in abroad.notes)
    assert not any("differ" in note for note in estimate(project).notes)


@pytest.fixture
def ran(project: Project, local_aws: Any, eventually: Callable[..., Any]) -> Standing:
    """A project whose features job has taken about a second."""
    standing = Standing(project, local_aws.client, eventually)
    name = standing.make_job("sleep 1")
    sagemaker = local_aws.client("sagemaker")
    eventually(
        lambda: (
            sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"] == "Completed"
        )
    )
    return standing


def test_the_cost_of_a_job_is_the_estimate_of_the_next_and_is_billed_once(ran: Standing) -> None:
    sagemaker = ran.client("sagemaker")
    (job,) = sagemaker.list_processing_jobs(NameContains=ran.project.aws_name)["ProcessingJobSummaries"]
    description = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
    seconds = (description["ProcessingEndTime"] - description["ProcessingStartTime"]).total_seconds()
    assert seconds >= 1
    priced = Cost(prices={**ran.project.cost.prices, "ml.m5.large": 3.6})
    project = ran.project.model_copy(update={"cost": priced})

    (features, *_) = cost.estimate(project, 1, "us-east-1", sagemaker).steps
    assert features.last_usd == pytest.approx(seconds / 1000)

    jobs = {"features": job["ProcessingJobName"], "tune": None}
    began = job["CreationTime"] - timedelta(seconds=1)
    billed = cost.actual(project, jobs, began, sagemaker)
    assert billed.usd == pytest.approx(seconds / 1000)
    assert billed.steps == [StepCost(step="features", usd=billed.usd, seconds=seconds, reused=False)]
    later = cost.actual(project, jobs, datetime.now(UTC) + timedelta(seconds=1), sagemaker)
    assert (later.usd, later.steps[0].reused) == (0, True)


class SpotJobs:
    """SageMaker's descriptions of jobs on spot instances, as documented by AWS: each of two instances is billed."""

    def describe_training_job(self, **_: str) -> dict[str, Any]:
        return {
            "ResourceConfig": {"InstanceType": "ml.b.large", "InstanceCount": 2},
            "TrainingTimeInSeconds": 1000,
            "BillableTimeInSeconds": 360,
            "EnableManagedSpotTraining": True,
            "CreationTime": datetime(2026, 1, 2, tzinfo=UTC),
        }

    def describe_hyper_parameter_tuning_job(self, **_: str) -> dict[str, Any]:
        resources = {"InstanceType": "ml.b.large", "InstanceCount": 2}
        return {
            "TrainingJobDefinition": {"ResourceConfig": resources},
            "CreationTime": datetime(2026, 1, 2, tzinfo=UTC),
        }

    def get_paginator(self, operation: str) -> SpotJobs:
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"TrainingJobSummaries": [{"TrainingJobName": name}]} for name in ("one", "two", "three")]


@pytest.mark.parametrize(("step", "trainings"), [("train", 1), ("tune", 3)])
def test_billable_seconds_count_for_each_instance_and_spot_savings_are_reported(
    project: Project, step: str, trainings: int
) -> None:
    billed = cost.actual(project, {step: "t"}, datetime(2026, 1, 1, tzinfo=UTC), SpotJobs())
    assert billed.usd == pytest.approx(trainings * 2 * 360 / 3600 * 10)
    assert billed.spot_saved_usd == pytest.approx(trainings * 2 * 640 / 3600 * 10)


class Records:
    """The records of trainings on EC2 in S3."""

    def __init__(self, project: Project, s3: Any) -> None:
        s3.create_bucket(Bucket="records")
        self.project, self.s3 = project, s3
        self.read = Ec2Records(project, "records", s3)

    def put(self, name: str, status: str, seconds: int) -> None:
        record = {
            "TrainingJobStatus": status,
            "ResourceConfig": {"InstanceType": "g5.xlarge", "InstanceCount": 1},
            "CreationTime": "2026-01-02T00:00:00+00:00",
            "TrainingTimeInSeconds": seconds - 100,
            "BillableTimeInSeconds": seconds,
        }
        key = f"{self.project.name}/training/{self.project.aws_name}-train-{name}/record.json"
        self.s3.put_object(Bucket="records", Key=key, Body=json.dumps(record))


@pytest.fixture
def on_ec2(project: Project, local_aws: Any) -> Records:
    """A project that trains on EC2 for at most an hour, at 36 dollars an hour."""
    ec2 = Ec2(instance_type="g5.xlarge", max_runtime_minutes=HOUR, spot=True)
    prices = Cost(prices={**project.cost.prices, "g5.xlarge": 36})
    return Records(project.model_copy(update={"ec2": ec2, "cost": prices}), local_aws.client("s3"))


def test_a_training_on_ec2_costs_at_most_the_lifetime_of_its_instance(on_ec2: Records) -> None:
    with mock_aws():
        estimated = cost.estimate(on_ec2.project, 1, "us-east-1", boto3.client("sagemaker"), on_ec2.read)
    (train,) = [step for step in estimated.steps if step.step == "train"]
    assert (train.instance_type, train.at_most_usd) == ("g5.xlarge", pytest.approx(36 * 105 / 60))
    assert any("spot price on EC2" in note for note in estimated.notes)


def test_the_cost_of_a_training_on_ec2_is_the_estimate_of_the_next_and_is_billed_once(
    on_ec2: Records,
) -> None:
    assert cost.last_cost(on_ec2.project, "train", None, on_ec2.read) is None
    on_ec2.put("0123456789ab", "Completed", 200)
    on_ec2.put("123456789abc", "Completed", 500)
    on_ec2.put("23456789abcd", "Failed", 900)
    last = cost.last_cost(on_ec2.project, "train", None, on_ec2.read)
    assert last is not None
    assert last.seconds == 500
    jobs = {"train": f"{on_ec2.project.aws_name}-train-0123456789ab"}
    for began, usd, reused in ((datetime(2026, 1, 1, tzinfo=UTC), 2.0, False), (datetime.now(UTC), 0, True)):
        billed = cost.actual(on_ec2.project, jobs, began, None, on_ec2.read)
        assert (billed.usd, billed.steps[0].reused) == (pytest.approx(usd), reused)
        assert billed.spot_saved_usd == 0


def test_rows_compare_the_estimate_with_the_billed_cost(project: Project) -> None:
    estimated = estimate(project)
    steps = [
        StepCost(step="features", usd=0.0, seconds=0.0, reused=True),
        StepCost(step="train", usd=0.0123, seconds=4.4, reused=False),
    ]
    billed = BilledCost(steps=steps, usd=0.0123, spot_saved_usd=0)
    assert cost.rows(estimated, billed) == [
        ("features", "$2.00", "unknown", "paid by an earlier run"),
        ("tune", "$30.00", "unknown", "unknown"),
        ("train", "$15.00", "unknown", "$0.012"),
        ("evaluate", "$2.00", "unknown", "unknown"),
        ("total", "$49.00", "unknown", "$0.012"),
    ]


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (1234.5, "$1,234.50"),
        (0.5, "$0.50"),
        (0.00314, "$0.0031"),
        (4e-6, "$0.0000040"),
        (0, "$0.00"),
        (None, "unknown"),
    ],
)
def test_amounts_are_shown_with_significant_digits(amount: float | None, shown: str) -> None:
    assert cost.dollars(amount) == shown


def test_the_log_shows_the_run_and_the_month(project: Project) -> None:
    shown = cost.show(estimate(project))
    assert "tune: $30.00, unknown" in shown
    assert "per month, 2 x ml.a.large of the endpoint: $1,460.00" in shown


def test_the_price_file_has_a_date_a_source_and_the_prices_of_the_projects() -> None:
    content = yaml.safe_load(cost.PRICES.read_text())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", str(content["date"]))
    assert "Price List API" in content["source"]
    assert set(content["unconfirmed"]) <= content["usd"].keys()
    assert set(LAMBDA_PRICES) <= content["usd"].keys()
    for project in read_projects()[0]:
        parts = (project.processing, project.tuning, project.training, project.ec2)
        types = {part.instance_type for part in (*parts, project.endpoint, project.workspace)}
        assert types <= content["usd"].keys() - set(content["unconfirmed"])


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        ("ml.m5.lrage.x: 1", "must be an instance type, such as ml.m5.large, or one of lambda."),
        ("ml.m5.large: -1", "should be greater than or equal to 0"),
    ],
)
def test_an_invalid_price_is_refused(tmp_path: Path, prices: str, message: str) -> None:
    path = tmp_path / "fish.yaml"
    path.write_text(f"name: fish\ndescription: x\ncost:\n  prices: {{{prices}}}\n")
    with pytest.raises(SettingsError, match=re.escape(message)):
        load_project(path)
