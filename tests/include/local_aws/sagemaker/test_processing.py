"""Processing jobs, driven as any user of boto3 drives them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.local_aws.sagemaker import network_isolation

GROUP = "/aws/sagemaker/ProcessingJobs"
SCRIPT = """
import json, os, pathlib, sys
source, target = pathlib.Path(sys.argv[1]), pathlib.Path(os.environ["TARGET"])
print("hello from", sys.executable)
(target / "deep").mkdir()
(target / "deep" / "report.json").write_text(json.dumps({p.name: p.read_text() for p in source.iterdir()}))
pathlib.Path("/opt/ml/output/message".replace("/opt/ml", os.getcwd())).write_text("two files read")
"""


@pytest.fixture
def run(
    sagemaker: Any, s3: Any, bucket: str, role: str, name: str, eventually: Callable[..., Any]
) -> Callable[..., dict[str, Any]]:
    """Run a job whose code lies in S3 and return its description at the end."""

    def run(
        entrypoint: list[str], *, until: Callable[[], Any] | None = None, **members: Any
    ) -> dict[str, Any]:
        s3.put_object(Bucket=bucket, Key=f"{name}/code/run.py", Body=SCRIPT)
        for file in ("a.txt", "b.txt"):
            s3.put_object(Bucket=bucket, Key=f"{name}/in/{file}", Body=file)
        sagemaker.create_processing_job(
            ProcessingJobName=name,
            RoleArn=role,
            AppSpecification={
                "ImageUri": "pytorch",
                "ContainerEntrypoint": entrypoint,
                "ContainerArguments": ["/opt/ml/processing/input/data"],
            },
            Environment={"TARGET": "/opt/ml/processing/output"},
            ProcessingInputs=[
                _input("code", f"s3://{bucket}/{name}/code/run.py"),
                _input("data", f"s3://{bucket}/{name}/in/"),
            ],
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": "report",
                        "S3Output": {
                            "S3Uri": f"s3://{bucket}/{name}/out",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ]
            },
            ProcessingResources={
                "ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 5}
            },
            **members,
        )
        if until is not None:
            eventually(until)
            sagemaker.stop_processing_job(ProcessingJobName=name)

        def ended() -> dict[str, Any] | None:
            answer = sagemaker.describe_processing_job(ProcessingJobName=name)
            return answer if answer["ProcessingJobStatus"] not in ("InProgress", "Stopping") else None

        return eventually(ended)

    return run


@pytest.mark.parametrize(
    "entrypoint",
    [
        pytest.param(["python3", "/opt/ml/processing/input/code/run.py"], id="words"),
        pytest.param(
            ["bash", "-c", 'cd . && exec python /opt/ml/processing/input/code/run.py "$0"'], id="shell"
        ),
    ],
)
def test_outputs_are_what_the_script_made_of_its_inputs(
    run: Callable[..., dict[str, Any]], s3: Any, bucket: str, name: str, entrypoint: list[str]
) -> None:
    job = run(entrypoint)
    assert job["ProcessingJobStatus"] == "Completed", job["FailureReason"]
    assert job["ExitMessage"] == "two files read"
    report = s3.get_object(Bucket=bucket, Key=f"{name}/out/deep/report.json")["Body"].read()
    assert json.loads(report) == {"a.txt": "a.txt", "b.txt": "b.txt"}


def test_python_is_the_one_with_the_packages_of_local_aws(
    run: Callable[..., dict[str, Any]], name: str, log_lines: Callable[[str, str], list[str]]
) -> None:
    run(["python3", "-c", "import moto; print('moto', 'found')"])
    assert log_lines(GROUP, f"{name}/algo-1-") == ["moto found"]


def test_a_failing_command_fails_the_job(run: Callable[..., dict[str, Any]]) -> None:
    job = run(["bash", "-c", "exit 7"])
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("AlgorithmError: ")
    assert job["FailureReason"].endswith("exit code: 7")


def test_a_command_that_does_not_exist_is_the_reason(run: Callable[..., dict[str, Any]]) -> None:
    assert "no-such-command cannot be started" in run(["no-such-command"])["FailureReason"]


def test_a_job_can_be_stopped(run: Callable[..., dict[str, Any]], sagemaker: Any, name: str) -> None:
    def started() -> bool:
        return "ProcessingStartTime" in sagemaker.describe_processing_job(ProcessingJobName=name)

    assert run(["bash", "-c", "sleep 300"], until=started)["ProcessingJobStatus"] == "Stopped"


def test_a_job_is_stopped_at_its_maximum_runtime(run: Callable[..., dict[str, Any]]) -> None:
    job = run(["bash", "-c", "sleep 300"], StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeExceeded" in job["FailureReason"]


def test_a_name_is_taken_and_an_ended_job_cannot_be_stopped(
    run: Callable[..., dict[str, Any]], sagemaker: Any, name: str
) -> None:
    run(["true"])
    with pytest.raises(sagemaker.exceptions.ResourceInUse):
        run(["true"])
    with pytest.raises(ClientError, match=r"ValidationException.*is in status Completed"):
        sagemaker.stop_processing_job(ProcessingJobName=name)


def test_jobs_are_listed(run: Callable[..., dict[str, Any]], sagemaker: Any, name: str) -> None:
    run(["true"])
    listed = sagemaker.list_processing_jobs(NameContains=name, StatusEquals="Completed")
    assert [job["ProcessingJobName"] for job in listed["ProcessingJobSummaries"]] == [name]


def test_a_missing_job_is_a_validation_exception(sagemaker: Any) -> None:
    with pytest.raises(ClientError, match=r"ValidationException.*Could not find requested job with name: "):
        sagemaker.describe_processing_job(ProcessingJobName="none")


def _input(name: str, uri: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": f"/opt/ml/processing/input/{name}",
            "S3DataType": "S3Prefix",
            "S3InputMode": "File",
        },
    }


@pytest.mark.skipif(
    not network_isolation.is_possible(),
    reason="this machine allows no network namespace",
)
def test_an_isolated_job_has_no_network_and_no_credentials_and_still_gives_its_output(
    run: Callable[..., dict[str, Any]], s3: Any, bucket: str, name: str
) -> None:
    script = (
        "env | grep -c AWS_SECRET_ACCESS_KEY > $TARGET/secrets.txt; "
        "python3 -c \"import os, urllib.request; urllib.request.urlopen(os.environ['AWS_ENDPOINT_URL'], timeout=5)\" "
        "2> $TARGET/network.txt; true"
    )
    job = run(["/bin/sh", "-c", script], NetworkConfig={"EnableNetworkIsolation": True})
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")

    def output(file: str) -> bytes:
        return s3.get_object(Bucket=bucket, Key=f"{name}/out/{file}")["Body"].read()

    assert output("secrets.txt") == b"0\n"
    assert b"URLError" in output("network.txt")
