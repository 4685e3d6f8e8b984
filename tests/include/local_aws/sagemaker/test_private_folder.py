"""Code that spells out /opt/ml works as in SageMaker: each job and each model has one of its own."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from include.local_aws.config import Config
from include.local_aws.sagemaker import private_folder

ROLE = "arn:aws:iam::123456789012:role/sagemaker"
RESOURCES = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 5}
SCRIPT = """
import os, pathlib
host = os.environ["SM_CURRENT_HOST"]
for folder in ("/opt/ml/model", "/opt/ml/output/data", "/opt/ml/checkpoints"):
    pathlib.Path(folder, host).write_text("here")
pathlib.Path("/opt/ml/model/shared").write_text(host)
"""

pytestmark = pytest.mark.skipif(
    not private_folder.is_possible(), reason="This machine allows no mount namespace (unshare)."
)


def test_what_every_host_writes_to_opt_ml_is_uploaded_and_the_machine_s_is_untouched(
    sagemaker: Any,
    training_request: Callable[..., dict[str, Any]],
    ended_training_job: Callable[[str], dict[str, Any]],
    read_archive: Callable[[str], dict[str, str]],
    s3: Any,
    bucket: str,
    name: str,
) -> None:
    before = os.listdir("/opt")
    request = training_request(
        name, SCRIPT, ResourceConfig=RESOURCES, CheckpointConfig={"S3Uri": f"s3://{bucket}/{name}/kept"}
    )
    sagemaker.create_training_job(**request)
    job = ended_training_job(name)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
    model = job["ModelArtifacts"]["S3ModelArtifacts"]
    hosts = {"127.0.0.1", "127.0.0.2"}
    # Of a file that several hosts write, the first host's is kept.
    assert read_archive(model) == dict.fromkeys(hosts, "here") | {"shared": "127.0.0.1"}
    assert read_archive(model.replace("model.tar", "output.tar")).keys() == hosts
    kept = s3.list_objects_v2(Bucket=bucket, Prefix=f"{name}/kept/")["Contents"]
    assert {Path(each["Key"]).name for each in kept} == hosts
    assert os.listdir("/opt") == before


def test_a_processing_job_finds_its_input_and_output_below_opt_ml(
    sagemaker: Any, s3: Any, bucket: str, name: str, eventually: Callable[..., Any]
) -> None:
    s3.put_object(Bucket=bucket, Key=f"{name}/in/a.txt", Body=b"text")
    # Spelled so that local AWS finds no path in it that it could replace.
    program = "root = '/opt/' + 'ml/processing/'; open(root + 'out/b.txt', 'w').write(open(root + 'in/a.txt').read())"
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=ROLE,
        AppSpecification={"ImageUri": "image", "ContainerEntrypoint": ["python3", "-c", program]},
        ProcessingResources={"ClusterConfig": RESOURCES | {"InstanceCount": 1}},
        ProcessingInputs=[
            {
                "InputName": "in",
                "S3Input": {
                    "S3Uri": f"s3://{bucket}/{name}/in",
                    "LocalPath": "/opt/ml/processing/in",
                    "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "out",
                    "S3Output": {
                        "S3Uri": f"s3://{bucket}/{name}/out",
                        "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    )

    def status() -> str:
        return sagemaker.describe_processing_job(ProcessingJobName=name)["ProcessingJobStatus"]

    eventually(lambda: status() != "InProgress")
    assert status() == "Completed"
    assert s3.get_object(Bucket=bucket, Key=f"{name}/out/b.txt")["Body"].read() == b"text"


def test_without_mount_namespaces_a_command_runs_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(private_folder, "unshare_options", lambda: None)
    config = Config(state_dir=tmp_path)
    assert private_folder.private(config, ["train"], tmp_path) == ["train"]
    assert not private_folder.is_possible()
