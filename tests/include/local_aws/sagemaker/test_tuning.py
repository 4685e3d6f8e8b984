"""Hyperparameter tuning jobs, driven as any user of boto3 drives them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.environments import PATIENCE

SCRIPT = """
import argparse, time
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--seconds", type=float, default=0)
arguments, _ = parser.parse_known_args()
time.sleep(arguments.seconds)
print(f"score={arguments.lr}", flush=True)
"""
RANGES = {"ContinuousParameterRanges": [{"Name": "lr", "MinValue": "0.01", "MaxValue": "0.2"}]}
ENDED = ("Completed", "Failed", "Stopped")


@pytest.fixture(scope="module")
def tune(sagemaker: Any, training_request: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Start a tuning job that maximizes the learning rate, with one training job at a time unless told."""

    def tune(
        name: str,
        jobs: int,
        *,
        strategy: str = "Random",
        parallel: int = 1,
        early_stopping: str = "Off",
        ranges: dict[str, Any] = RANGES,
        script: str = SCRIPT,
        **hyperparameters: str,
    ) -> None:
        definition = training_request(name, script, HyperParameters=hyperparameters)
        del definition["TrainingJobName"]
        definition["StaticHyperParameters"] = definition.pop("HyperParameters")
        definition["AlgorithmSpecification"]["MetricDefinitions"] = [
            {"Name": "score", "Regex": "score=([0-9.e-]+)"}
        ]
        sagemaker.create_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=name,
            HyperParameterTuningJobConfig={
                "Strategy": strategy,
                "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
                "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
                "RandomSeed": 1,
                "ParameterRanges": ranges,
                "TrainingJobEarlyStoppingType": early_stopping,
            },
            TrainingJobDefinition=definition,
            Tags=[{"Key": "project", "Value": name}],
        )

    return tune


@pytest.fixture(scope="module")
def describe(sagemaker: Any) -> Callable[[str], dict[str, Any]]:
    return lambda name: sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)


@pytest.fixture(scope="module")
def completed(
    module_name: str,
    tune: Callable[..., None],
    describe: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> dict[str, Any]:
    """The description of a tuning job at its end; meanwhile never more ran than were allowed."""
    tune(module_name, 2)

    def ended() -> bool:
        job = describe(module_name)
        assert job["TrainingJobStatusCounters"]["InProgress"] <= 1
        return job["HyperParameterTuningJobStatus"] in ENDED

    eventually(ended)
    return describe(module_name)


@pytest.fixture
def summaries(sagemaker: Any, completed: dict[str, Any]) -> Callable[..., list[dict[str, Any]]]:
    """List the training jobs of the completed tuning job."""

    def listed(**options: str) -> list[dict[str, Any]]:
        return sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=completed["HyperParameterTuningJobName"], **options
        )["TrainingJobSummaries"]

    return listed


def test_the_best_training_job_is_the_one_with_the_best_objective(
    completed: dict[str, Any], summaries: Callable[..., list[dict[str, Any]]]
) -> None:
    assert completed["HyperParameterTuningJobStatus"] == "Completed"
    best = completed["BestTrainingJob"]
    value = best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
    assert value == max(float(job["TunedHyperParameters"]["lr"]) for job in summaries())
    assert value == float(best["TunedHyperParameters"]["lr"])


def test_jobs_and_objectives_are_counted(completed: dict[str, Any]) -> None:
    assert completed["TrainingJobStatusCounters"] == {
        "Completed": 2,
        "InProgress": 0,
        "RetryableError": 0,
        "NonRetryableError": 0,
        "Stopped": 0,
    }
    assert completed["ObjectiveStatusCounters"] == {"Succeeded": 2, "Pending": 0, "Failed": 0}


def test_training_jobs_are_listed_by_their_objective(summaries: Callable[..., list[dict[str, Any]]]) -> None:
    listed = summaries(SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    values = [job["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for job in listed]
    assert len(values) == 2
    assert values == sorted(values, reverse=True)


def test_training_jobs_belong_to_the_tuning_job_and_carry_its_tags(
    sagemaker: Any, completed: dict[str, Any]
) -> None:
    name = completed["BestTrainingJob"]["TrainingJobName"]
    job = sagemaker.describe_training_job(TrainingJobName=name)
    assert job["TuningJobArn"] == completed["HyperParameterTuningJobArn"]
    tags = sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "project", "Value": completed["HyperParameterTuningJobName"]}]


def test_tuning_jobs_are_listed_with_their_strategy(sagemaker: Any, completed: dict[str, Any]) -> None:
    [listed] = sagemaker.list_hyper_parameter_tuning_jobs(
        NameContains=completed["HyperParameterTuningJobName"]
    )["HyperParameterTuningJobSummaries"]
    assert (listed["Strategy"], listed["HyperParameterTuningJobStatus"]) == ("Random", "Completed")


def test_an_ended_job_cannot_be_stopped(sagemaker: Any, completed: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*is in status Completed"):
        sagemaker.stop_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=completed["HyperParameterTuningJobName"]
        )


def test_stopping_stops_the_training_jobs(
    sagemaker: Any,
    name: str,
    tune: Callable[..., None],
    describe: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> None:
    tune(name, 2, seconds="300")
    eventually(lambda: describe(name)["TrainingJobStatusCounters"]["InProgress"] == 1)
    sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    eventually(lambda: describe(name)["HyperParameterTuningJobStatus"] == "Stopped")
    assert describe(name)["TrainingJobStatusCounters"]["Stopped"] == 1


def test_a_job_without_an_objective_fails(
    name: str,
    tune: Callable[..., None],
    describe: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> None:
    tune(name, 1, seconds="none-at-all")  # argparse refuses it
    eventually(lambda: describe(name)["HyperParameterTuningJobStatus"] == "Failed")
    assert "No training job succeeded" in describe(name)["FailureReason"]


def test_a_missing_job_is_a_validation_exception(describe: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ClientError, match=r"ResourceNotFound.*can't find a tuning job called"):
        describe("none")


def test_bayesian_search_runs_its_jobs_side_by_side(
    name: str,
    tune: Callable[..., None],
    describe: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
    tmp_path: Path,
) -> None:
    # The first two jobs end only once both have begun.
    script = (
        "import os, pathlib, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "(folder / str(os.getpid())).touch()\n"
        "while len(list(folder.iterdir())) < 2: time.sleep(0.05)\n"
    )
    tune(name, 5, parallel=2, strategy="Bayesian", script=script + SCRIPT)

    def ended() -> bool:
        job = describe(name)
        assert job["TrainingJobStatusCounters"]["InProgress"] <= 2
        return job["HyperParameterTuningJobStatus"] in ENDED

    eventually(ended, PATIENCE)
    job = describe(name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 5, "Pending": 0, "Failed": 0}


def test_a_training_job_that_falls_behind_is_stopped_early(
    sagemaker: Any,
    name: str,
    tune: Callable[..., None],
    describe: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
) -> None:
    grid = {"CategoricalParameterRanges": [{"Name": "lr", "Values": ["0.9", "0.1"]}]}
    # The first job ends soon; the second would wait for longer than this test.
    script = (
        "import sys, time\n"
        "score = float(sys.argv[sys.argv.index('--lr') + 1])\n"
        "print(f'score={score}', flush=True)\n"
        "time.sleep(0 if score > 0.5 else 300)\n"
    )
    tune(name, 2, strategy="Grid", ranges=grid, script=script, early_stopping="Auto")
    eventually(lambda: describe(name)["HyperParameterTuningJobStatus"] in ENDED, PATIENCE)
    job = describe(name)
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    counters = job["TrainingJobStatusCounters"]
    assert (counters["Completed"], counters["Stopped"]) == (1, 1)
    assert job["BestTrainingJob"]["TunedHyperParameters"] == {"lr": "0.9"}
    [stopped] = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name, StatusEquals="Stopped"
    )["TrainingJobSummaries"]
    assert stopped["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(0.1)


def test_a_strategy_that_local_aws_has_not_is_refused(name: str, tune: Callable[..., None]) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*no strategy Hyperband"):
        tune(name, 2, strategy="Hyperband")
