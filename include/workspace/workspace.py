"""Functions for the notebook explore.ipynb: the project's images, last tuning job, training jobs and function."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import tarfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image

HERE = Path(__file__).resolve().parent
PROJECT: dict[str, Any] = json.loads((HERE / "project.json").read_text())
"""``name``, ``aws_name``, ``region``, ``bucket``, ``role`` (of jobs), ``function``, ``alias`` and ``tags``."""

PREFIX = f"s3://{PROJECT['bucket']}/{PROJECT['name']}"
KEPT = (
    "AlgorithmSpecification",
    "EnableManagedSpotTraining",
    "EnableNetworkIsolation",
    "Environment",
    "InputDataConfig",
    "ResourceConfig",
    "StoppingCondition",
)
"""The members that a new training job copies from a trial, in addition to the hyperparameters."""


class NothingThereError(RuntimeError):
    """A resource of the pipeline does not exist. The message says what to do."""


@functools.cache
def client(service: str) -> Any:
    """Return a boto3 client in the project's region."""
    return boto3.client(service, region_name=PROJECT["region"])


def data_set() -> dict[str, Any]:
    """Return the manifest of the last staged images, with their S3 URI as ``uri``.

    :raises NothingThereError: If there are no images.
    """
    s3, bucket = client("s3"), PROJECT["bucket"]
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=f"{PROJECT['name']}/data/", Delimiter="/"
    )
    folders = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
    manifests = [
        item
        for folder in folders
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}manifest.json").get("Contents", [])
    ]
    if not manifests:
        raise NothingThereError(f"There are no images in {PREFIX}/data/. {_run_first()}")
    key = max(manifests, key=lambda item: item["LastModified"])["Key"]
    manifest: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return {**manifest, "uri": f"s3://{bucket}/{key.rpartition('/')[0]}"}


def counts(data: dict[str, Any]) -> pd.DataFrame:
    """Return the number of images of each class in train, valid and test: one row per class."""
    parts = [file["path"].split("/")[:2] for file in data["files"]]
    table = pd.DataFrame(parts, columns=["split", "class"]).value_counts().unstack("split", fill_value=0)
    return table[["train", "valid", "test"]]


def images(data: dict[str, Any], split: str, per_class: int, classes: int) -> list[str]:
    """Return the S3 URIs of the first images of the first classes in a split."""
    chosen: dict[str, list[str]] = {}
    for file in data["files"]:
        where, label, _ = file["path"].split("/", 2)
        if where == split and len(chosen.setdefault(label, [])) < per_class:
            chosen[label].append(f"{data['uri']}/{file['path']}")
    return [uri for label in sorted(chosen)[:classes] for uri in chosen[label]]


def show(uris: list[str], titles: list[str] | None = None, columns: int = 5) -> None:
    """Show a contact sheet of the images at these S3 URIs, by default titled with the names of their classes."""
    titles = titles or [uri.split("/")[-2] for uri in uris]
    rows = -(-len(uris) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.2 * columns, 2.4 * rows), squeeze=False)
    for place in axes.flat:
        place.axis("off")
    with ThreadPoolExecutor(8) as pool:
        for place, picture, title in zip(axes.flat, pool.map(_picture, uris), titles, strict=False):
            place.imshow(picture)
            place.set_title(title, fontsize=8)
    figure.tight_layout()
    plt.show()


def trials() -> pd.DataFrame:
    """Return the trials of the last completed tuning job, best first; trials without a result come last.

    :raises NothingThereError: If there is no such job.
    """
    sagemaker = client("sagemaker")
    pages = sagemaker.get_paginator("list_hyper_parameter_tuning_jobs").paginate(
        NameContains=f"{PROJECT['aws_name']}-tune-",
        StatusEquals="Completed",
        SortBy="CreationTime",
        SortOrder="Descending",
    )
    own = re.compile(rf"{PROJECT['aws_name']}-tune-[0-9a-f]{{8}}")
    names = (
        job["HyperParameterTuningJobName"]
        for page in pages
        for job in page["HyperParameterTuningJobSummaries"]
        if own.match(job["HyperParameterTuningJobName"])
    )
    newest = next(names, None)
    if newest is None:
        raise NothingThereError(f"The project has no completed tuning job. {_run_first()}")
    objective = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=newest)[
        "HyperParameterTuningJobConfig"
    ]["HyperParameterTuningJobObjective"]
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=newest
    )
    rows = [
        {
            "trial": trial["TrainingJobName"],
            "learning_rate": _number(trial, "learning_rate"),
            "batch_size": int(_number(trial, "batch_size")),
            objective["MetricName"]: trial.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get(
                "Value"
            ),
            "status": trial["TrainingJobStatus"],
        }
        for page in pages
        for trial in page["TrainingJobSummaries"]
    ]
    return pd.DataFrame(rows).sort_values(
        objective["MetricName"], ascending=objective["Type"] == "Minimize", ignore_index=True
    )


def plot_trials(table: pd.DataFrame) -> None:
    """Plot the objective of each trial against its learning rate, with one color per batch size."""
    objective = table.columns[3]
    for size, group in table.dropna(subset=[objective]).groupby("batch_size"):
        plt.scatter(group["learning_rate"], group[objective], label=f"batch size {size}")
    plt.xscale("log")
    plt.xlabel("learning rate")
    plt.ylabel(objective)
    plt.legend()
    plt.show()


def train(trial: str, **changes: Any) -> str:
    """Start a training job with the settings of a trial, optional changes, and the code in the folder classifier.

    :param trial: The name of the trial's training job.
    :param changes: Hyperparameters to change, such as ``epochs=3``.
    :return: The name of the new job.
    """
    described = client("sagemaker").describe_training_job(TrainingJobName=trial)
    settings = {key: described[key] for key in KEPT if key in described}
    values = {
        key: value for key, value in described["HyperParameters"].items() if not key.startswith("_tuning")
    }
    values.update({key: json.dumps(value) for key, value in changes.items()})
    code = upload_code()
    for channel in settings["InputDataConfig"]:
        if channel["ChannelName"] == "code":  # only jobs with network isolation have it
            channel["DataSource"]["S3DataSource"]["S3Uri"] = f"{code.rpartition('/')[0]}/"
            break
    else:
        values["sagemaker_submit_directory"] = json.dumps(code)
    name = f"{PROJECT['aws_name']}-workspace-{uuid.uuid4().hex[:8]}"
    client("sagemaker").create_training_job(
        TrainingJobName=name,
        **settings,
        HyperParameters=values,
        OutputDataConfig={"S3OutputPath": f"{PREFIX}/workspace/training"},
        RoleArn=PROJECT["role"],
        Tags=[{"Key": key, "Value": value} for key, value in PROJECT["tags"].items()],
    )
    return name


def upload_code(folder: Path = HERE / "classifier") -> str:
    """Upload the Python files of a folder and the packages in ``wheels`` to S3, as required by script mode.

    :return: Their S3 URI.
    """
    archive, content = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        wheels = (path for path in (folder / "wheels").rglob("*") if path.is_file())
        for path in sorted({*folder.rglob("*.py"), *wheels}):
            tar.add(path, path.relative_to(folder).as_posix())
            content.update(path.read_bytes())
    key = f"{PROJECT['name']}/workspace/code/{content.hexdigest()[:12]}/sourcedir.tar.gz"
    client("s3").put_object(Bucket=PROJECT["bucket"], Key=key, Body=archive.getvalue())
    return f"s3://{PROJECT['bucket']}/{key}"


def wait(job: str, poll_seconds: float = 5) -> pd.Series:
    """Wait for a training job, print its progress, and return its final metrics.

    :raises RuntimeError: With SageMaker's reason, if the job did not complete.
    """
    last = ""
    while True:
        described = client("sagemaker").describe_training_job(TrainingJobName=job)
        if described["SecondaryStatus"] != last:
            last = described["SecondaryStatus"]
            print(f"{job}: {last}")
        if described["TrainingJobStatus"] not in ("InProgress", "Stopping"):
            break
        time.sleep(poll_seconds)
    if described["TrainingJobStatus"] != "Completed":
        raise RuntimeError(f"{job} is {described['TrainingJobStatus']}: {described.get('FailureReason')}")
    metrics = described.get("FinalMetricDataList", [])
    return pd.Series({metric["MetricName"]: metric["Value"] for metric in metrics}, name=job)


def predict(uri: str) -> list[dict[str, Any]]:
    """Return the labels and probabilities that the project's function predicts for an image below its prefix in S3.

    :raises NothingThereError: If the function does not exist.
    :raises RuntimeError: With the function's message, if it returns an error.
    """
    functions = client("lambda")
    try:
        result = functions.invoke(
            FunctionName=PROJECT["function"], Qualifier=PROJECT["alias"], Payload=json.dumps({"s3": uri})
        )
    except functions.exceptions.ResourceNotFoundException as error:
        raise NothingThereError(f"Function {PROJECT['function']} does not exist. {_run_first()}") from error
    answer: dict[str, Any] = json.load(result["Payload"])
    if "predictions" not in answer:
        raise RuntimeError(f"The function returned an error: {answer}")
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions


def _picture(uri: str) -> Image.Image:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return Image.open(io.BytesIO(content)).convert("RGB")


def _number(trial: dict[str, Any], name: str) -> float:
    return float(trial["TunedHyperParameters"][name].strip('"'))


def _run_first() -> str:
    return f"Run the DAG {PROJECT['name']}.train_and_deploy first."
