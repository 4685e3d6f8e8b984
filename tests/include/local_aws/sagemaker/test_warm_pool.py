"""Warm pools: a process that is kept after a training job serves the next one that matches."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from include.local_aws.sagemaker import warm_pool

pytestmark = pytest.mark.skipif(
    not warm_pool.can_be_kept({"ResourceConfig": {"InstanceCount": 1}}),
    reason="processes are kept on Linux only",
)

# Says whether what nearly every training script imports is imported already, and what the script is.
SCRIPT = """
import os, sys
import psutil
# The program's parent is its keeper, whose parent is the kept process.
print(f"imported={'torch' in sys.modules} in {psutil.Process().parents()[1].pid}", flush=True)
import numpy, torch, torchvision
print(f"draws={numpy.random.random():.12f} {torch.rand(1).item():.12f}")
print(f"main={__name__} file={os.path.basename(__file__)} arguments={sys.argv[1:]}")
print(f"color={os.environ['COLOR']} folder={os.path.basename(os.getcwd())} python={sys.executable}")
loader = torch.utils.data.DataLoader([2, 3], num_workers=1)
print(f"loaded={[batch.item() for batch in loader]}")
print(f"sum={torch.ones(1000, 1000).sum().item()}", flush=True)
"""


@pytest.fixture(scope="module")
def start(
    sagemaker: Any, training_request: Callable[..., dict[str, Any]], module_name: str
) -> Callable[..., str]:
    """Start a job in a pool of this file's, and return its name."""

    def create(suffix: str, keep_alive: int, script: str = SCRIPT) -> str:
        name = f"{module_name}-{suffix}"
        request = training_request(
            name, script, torch=True, Environment={"COLOR": "green"}, HyperParameters={"job": suffix}
        )
        request["ResourceConfig"]["KeepAlivePeriodInSeconds"] = keep_alive
        sagemaker.create_training_job(**request)
        return name

    return create


@pytest.fixture(scope="module")
def train(
    start: Callable[..., str], ended_training_job: Callable[[str], dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """Run a job in a pool of this file's, and return its description."""
    return lambda *arguments, **options: ended_training_job(start(*arguments, **options))


@pytest.fixture(scope="module")
def jobs(train: Callable[..., dict[str, Any]], sagemaker: Any) -> list[dict[str, Any]]:
    """The descriptions, at its end, of a job that leaves a pool, of one that uses it, and of the first again."""
    first = train("first", 600)
    second = train("second", 600)
    for job in (first, second):
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    return [first, second, sagemaker.describe_training_job(TrainingJobName=first["TrainingJobName"])]


@pytest.fixture(scope="module")
def printed(log_lines: Callable[[str, str], list[str]]) -> Callable[[dict[str, Any], str], str]:
    """Return what a job printed after a word and an equals sign."""

    def read(job: dict[str, Any], word: str) -> str:
        lines = log_lines("/aws/sagemaker/TrainingJobs", f"{job['TrainingJobName']}/")
        return next(line.removeprefix(f"{word}=") for line in lines if line.startswith(f"{word}="))

    return read


def test_a_pool_is_available_then_reused(jobs: list[dict[str, Any]]) -> None:
    at_its_end, second, later = jobs
    assert at_its_end["WarmPoolStatus"] == {"Status": "Available"}
    assert second["WarmPoolStatus"] == {"Status": "Available"}
    assert later["WarmPoolStatus"]["Status"] == "Reused"
    assert later["WarmPoolStatus"]["ReusedByJob"] == second["TrainingJobName"]
    assert later["WarmPoolStatus"]["ResourceRetainedBillableTimeInSeconds"] >= 1


def test_a_kept_process_saves_the_import_of_torch(
    jobs: list[dict[str, Any]], printed: Callable[[dict[str, Any], str], str]
) -> None:
    first, second = (printed(job, "imported") for job in jobs[:2])
    assert first == second
    assert first.startswith("True in ")


def test_a_script_in_a_kept_process_is_a_program_like_any_other(
    jobs: list[dict[str, Any]], printed: Callable[[dict[str, Any], str], str]
) -> None:
    job = jobs[1]
    assert printed(job, "main") == "__main__ file=train.py arguments=['--job', 'second']"
    color, folder, python = printed(job, "color").split()
    assert (color, folder) == ("green", "folder=code")
    assert python.endswith("/bin/python")
    assert printed(job, "loaded") == "[2, 3]"
    assert printed(job, "sum") == "1000000.0"


def test_jobs_in_a_kept_process_draw_their_own_random_numbers(
    jobs: list[dict[str, Any]], printed: Callable[[dict[str, Any], str], str]
) -> None:
    for first, second in zip(*(printed(job, "draws").split() for job in jobs[:2]), strict=True):
        assert first != second


def test_a_failure_in_a_kept_process_is_the_job_s(
    jobs: list[dict[str, Any]], train: Callable[..., dict[str, Any]]
) -> None:
    job = train("failing", 600, script="raise ValueError('no such breed')")
    assert job["TrainingJobStatus"] == "Failed"
    assert "no such breed" in job["FailureReason"]
    assert job["WarmPoolStatus"]["Status"] == "Available"


def test_a_stopped_job_in_a_kept_process_trains_on_untold_until_it_is_killed(
    jobs: list[dict[str, Any]],
    sagemaker: Any,
    module_name: str,
    start: Callable[..., str],
    ended_training_job: Callable[[str], dict[str, Any]],
    eventually: Callable[..., Any],
    printed: Callable[[dict[str, Any], str], str],
    read_archive: Callable[[str], dict[str, str]],
) -> None:
    script = (
        "import os, pathlib, signal, time\n"
        "model = pathlib.Path(os.environ['SM_MODEL_DIR'], 'model.txt')\n"
        "signal.signal(signal.SIGTERM, lambda *_: (model.write_text('told'), os._exit(0)))\n"
        "model.write_text('half trained')\n"
        "print('state=waiting', flush=True)\n"
        "while True: time.sleep(0.1)\n"
    )
    name = start("stopped", 600, script=script)
    eventually(lambda: _is_waiting(printed, name))
    sagemaker.stop_training_job(TrainingJobName=name)
    job = ended_training_job(name)
    assert read_archive(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"model.txt": "half trained"}
    assert job["WarmPoolStatus"]["Status"] == "Available"


def test_a_pool_can_be_found_and_given_another_time(
    jobs: list[dict[str, Any]], train: Callable[..., dict[str, Any]], sagemaker: Any
) -> None:
    name = train("updated", 600, script="pass")["TrainingJobName"]
    found = sagemaker.list_training_jobs(NameContains=name, WarmPoolStatusEquals="Available")
    assert [job["TrainingJobName"] for job in found["TrainingJobSummaries"]] == [name]
    another_time = {"KeepAlivePeriodInSeconds": 300}
    sagemaker.update_training_job(TrainingJobName=name, ResourceConfig=another_time)
    described = sagemaker.describe_training_job(TrainingJobName=name)["ResourceConfig"]
    assert described["KeepAlivePeriodInSeconds"] == 300
    with pytest.raises(ClientError, match=r"ValidationException.*no warm pool that is Available"):
        sagemaker.update_training_job(TrainingJobName=jobs[0]["TrainingJobName"], ResourceConfig=another_time)


def test_a_pool_ends_with_its_time_and_leaves_nothing(
    jobs: list[dict[str, Any]],
    train: Callable[..., dict[str, Any]],
    sagemaker: Any,
    local_aws: Any,
    eventually: Callable[..., Any],
) -> None:
    [kept] = _kept(local_aws)
    folder = Path(kept.cwd())
    job = train("last", 1)

    def status() -> dict[str, Any]:
        return sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])["WarmPoolStatus"]

    eventually(lambda: status()["Status"] == "Terminated")
    assert status()["ResourceRetainedBillableTimeInSeconds"] >= 1
    assert _kept(local_aws) == []
    assert not folder.exists()


def test_a_pool_is_for_matching_jobs_alone() -> None:
    job = {"RoleArn": "r", "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large"}}
    other = {**job, "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge"}}
    assert warm_pool.criteria(job) == warm_pool.criteria({**job, "HyperParameters": {"epochs": "3"}})
    for different in (other, {**job, "RoleArn": "s"}, {**job, "EnableNetworkIsolation": True}):
        assert warm_pool.criteria(different) != warm_pool.criteria(job)


def _is_waiting(printed: Callable[[dict[str, Any], str], str], name: str) -> bool:
    try:
        return printed({"TrainingJobName": name}, "state") == "waiting"
    except (ClientError, StopIteration):
        return False


def _kept(local_aws: Any) -> list[psutil.Process]:
    """Return the kept processes of this file's jobs; those of other files have other variables."""
    found = []
    for child in local_aws.children("warm_process"):
        with suppress(psutil.NoSuchProcess):  # it may end at any moment
            if child.environ().get("COLOR") == "green":
                found.append(child)
    return found
