"""The functions of the notebook without resources of the pipeline, and the training jobs that they start."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from include.pipeline.packages import INCLUDE

PROJECT = {
    "name": "dog_breeds",
    "aws_name": "dog-breeds",
    "region": "us-east-1",
    "bucket": "bucket",
    "role": "arn:aws:iam::123456789012:role/jobs",
    "function": "dog-breeds",
    "alias": "live",
    "tags": {"project": "dog_breeds", "managed-by": "airflow"},
}


def trial(*channels: str) -> dict[str, Any]:
    """Return SageMaker's description of a trial that was trained on these channels."""
    return {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"},
        "HyperParameters": {
            "epochs": "10",
            "learning_rate": "0.01",
            "sagemaker_submit_directory": '"s3://bucket/code/1/sourcedir.tar.gz"',
            "_tuning_objective_metric": "best:validation_loss",
        },
        "InputDataConfig": [
            {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": f"s3://bucket/{name}/"}}}
            for name in channels
        ],
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module as on a notebook instance, in a moto account with an empty bucket."""
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    shutil.copy(INCLUDE / "workspace" / "workspace.py", tmp_path)
    (tmp_path / "project.json").write_text(json.dumps(PROJECT))
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier" / "train.py").write_text("changed here")
    (tmp_path / "classifier" / "notes.txt").write_text("of the user's own")
    shipped = tmp_path / "classifier" / "wheels" / "example-1.0-py3-none-any" / "example"
    shipped.mkdir(parents=True)
    (shipped / "library.so").write_text("shipped")
    spec = importlib.util.spec_from_file_location("on_the_instance", tmp_path / "workspace.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        yield module


def test_missing_resources_are_reported_with_a_remedy(workspace: Any) -> None:
    for ask in (workspace.data_set, workspace.trials, lambda: workspace.predict("s3://bucket/x.png")):
        with pytest.raises(
            workspace.NothingThereError, match=r"Run the DAG dog_breeds\.train_and_deploy first"
        ):
            ask()


def test_images_are_the_last_completely_staged_ones(workspace: Any) -> None:
    s3 = workspace.client("s3")
    for key, body in {
        "data/a/manifest.json": {"files": [{"path": "train/1/a.png"}]},
        "data/b/report.html": {},
        "data/sources/1.json": {},
    }.items():
        s3.put_object(Bucket="bucket", Key=f"dog_breeds/{key}", Body=json.dumps(body))
    data = workspace.data_set()
    assert data["uri"] == "s3://bucket/dog_breeds/data/a"
    assert workspace.images(data, "train", 1, 1) == ["s3://bucket/dog_breeds/data/a/train/1/a.png"]


@pytest.mark.parametrize("channels", [("features",), ("features", "code")], ids=["online", "isolated"])
def test_training_job_uses_the_local_code_and_the_settings_of_the_trial(
    workspace: Any, monkeypatch: pytest.MonkeyPatch, channels: tuple[str, ...]
) -> None:
    asked: dict[str, Any] = {}
    sagemaker = SimpleNamespace(
        describe_training_job=lambda TrainingJobName: trial(*channels),
        create_training_job=lambda **request: asked.update(request),
    )
    s3 = workspace.client("s3")
    monkeypatch.setattr(workspace, "client", lambda service: {"sagemaker": sagemaker, "s3": s3}[service])
    name = workspace.train("dog-breeds-tune-1", epochs=3)
    assert asked["TrainingJobName"] == name
    assert name.startswith("dog-breeds-workspace-")
    assert {"Key": "managed-by", "Value": "airflow"} in asked["Tags"]
    assert "CheckpointConfig" not in asked, "it would go on from another training"
    values, (*_, last) = asked["HyperParameters"], asked["InputDataConfig"]
    assert (values["epochs"], values["learning_rate"]) == ("3", "0.01")
    assert "_tuning_objective_metric" not in values
    where = last["DataSource"]["S3DataSource"]["S3Uri"]
    if "code" in channels:
        archive = f"{where}sourcedir.tar.gz"
    else:
        archive = json.loads(values["sagemaker_submit_directory"])
        assert where == "s3://bucket/features/"
    content = s3.get_object(Bucket="bucket", Key=archive.removeprefix("s3://bucket/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        train = tar.extractfile("train.py")
        assert train is not None
        assert train.read() == b"changed here"
        assert tar.getnames() == ["train.py", "wheels/example-1.0-py3-none-any/example/library.so"]
