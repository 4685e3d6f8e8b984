"""What the notebook explore.ipynb uses: the project's images, its last tuning job, a training job, its function."""

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
"""What a new training job takes over from a trial, besides its hyperparameters."""


class NothingThereError(RuntimeError):
    """The pipeline has not made yet, or no longer has, what is asked for; the message says what to do."""


@functools.cache
def client(service: str) -> Any:
    """A boto3 client in the project's region."""
    return boto3.client(service, region_name=PROJECT["region"])


def data_set() -> dict[str, Any]:
    """The manifest of the images that were staged last, with their S3 address as ``uri``.

    :raises NothingThereError: if there are none.
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
        raise NothingThereError(f"There are no images in {PREFIX}/data/: {_run_first()}")
    key = max(manifests, key=lambda item: item["LastModified"])["Key"]
    manifest: dict[str, Any] = json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    return {**manifest, "uri": f"s3://{bucket}/{key.rpartition('/')[0]}"}


def counts(data: dict[str, Any]) -> pd.DataFrame:
    """How many images each class has in train, valid and test: a row for each class."""
    parts = [file["path"].split("/")[:2] for file in data["files"]]
    table = pd.DataFrame(parts, columns=["split", "class"]).value_counts().unstack("split", fill_value=0)
    return table[["train", "valid", "test"]]


def images(data: dict[str, Any], split: str, per_class: int, classes: int) -> list[str]:
    """The S3 addresses of the first few images of the first few classes in a split."""
    chosen: dict[str, list[str]] = {}
    for file in data["files"]:
        where, label, _ = file["path"].split("/", 2)
        if where == split and len(chosen.setdefault(label, [])) < per_class:
            chosen[label].append(f"{data['uri']}/{file['path']}")
    return [uri for label in sorted(chosen)[:classes] for uri in chosen[label]]


def show(uris: list[str], titles: list[str] | None = None, columns: int = 5) -> None:
    """A contact sheet of the images at these S3 addresses, by default under the names of their classes."""
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
    """The trials of the tuning job that was completed last, the best first; those without a result come last.

    :raises NothingThereError: if there is no such job.
    """
    sagemaker = client("sagemaker")
    jobs = sagemaker.list_hyper_parameter_tuning_jobs(
        NameContains=f"{PROJECT['aws_name']}-tune-",
        StatusEquals="Completed",
        SortBy="CreationTime",
        SortOrder="Descending",
    )["HyperParameterTuningJobSummaries"]
    own = re.compile(rf"{PROJECT['aws_name']}-tune-[0-9a-f]{{8}}")
    names = [
        job["HyperParameterTuningJobName"] for job in jobs if own.match(job["HyperParameterTuningJobName"])
    ]
    if not names:
        raise NothingThereError(f"No tuning job of the project is completed: {_run_first()}")
    objective = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=names[0])[
        "HyperParameterTuningJobConfig"
    ]["HyperParameterTuningJobObjective"]
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=names[0]
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
    """The objective of each trial by its learning rate, in a colour for each batch size."""
    objective = table.columns[3]
    for size, group in table.dropna(subset=[objective]).groupby("batch_size"):
        plt.scatter(group["learning_rate"], group[objective], label=f"batch size {size}")
    plt.xscale("log")
    plt.xlabel("learning rate")
    plt.ylabel(objective)
    plt.legend()
    plt.show()


def train(trial: str, **changes: Any) -> str:
    """Start a training job with the settings of a trial, some of them changed, and the code in the folder classifier.

    :param trial: the name of its training job.
    :param changes: hyperparameters, such as ``epochs=3``.
    :return: the new job's name.
    """
    described = client("sagemaker").describe_training_job(TrainingJobName=trial)
    settings = {key: described[key] for key in KEPT if key in described}
    values = {
        key: value for key, value in described["HyperParameters"].items() if not key.startswith("_tuning")
    }
    values.update({key: json.dumps(value) for key, value in changes.items()})
    code = upload_code()
    for channel in settings["InputDataConfig"]:
        if channel["ChannelName"] == "code":  # of a job that is cut off from the network
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
    """Put the Python files of a folder to S3, as SageMaker's script mode wants them; returns their address."""
    archive, content = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path in sorted(folder.rglob("*.py")):
            tar.add(path, path.relative_to(folder).as_posix())
            content.update(path.read_bytes())
    key = f"{PROJECT['name']}/workspace/code/{content.hexdigest()[:12]}/sourcedir.tar.gz"
    client("s3").put_object(Bucket=PROJECT["bucket"], Key=key, Body=archive.getvalue())
    return f"s3://{PROJECT['bucket']}/{key}"


def wait(job: str, poll_seconds: float = 5) -> pd.Series:
    """Wait for a training job's end, telling how far it is, and return its last metrics.

    :raises RuntimeError: with SageMaker's reason, if it was not completed.
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
    """What the project's function answers about an image below the project's prefix in S3: labels and probabilities.

    :raises NothingThereError: if there is no function.
    :raises RuntimeError: with the function's own words, if it answers with an error.
    """
    functions = client("lambda")
    try:
        result = functions.invoke(
            FunctionName=PROJECT["function"], Qualifier=PROJECT["alias"], Payload=json.dumps({"s3": uri})
        )
    except functions.exceptions.ResourceNotFoundException as error:
        raise NothingThereError(f"There is no function {PROJECT['function']}: {_run_first()}") from error
    answer: dict[str, Any] = json.load(result["Payload"])
    if "predictions" not in answer:
        raise RuntimeError(f"The function answered: {answer}")
    predictions: list[dict[str, Any]] = answer["predictions"]
    return predictions


def _picture(uri: str) -> Image.Image:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    content = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return Image.open(io.BytesIO(content)).convert("RGB")


def _number(trial: dict[str, Any], name: str) -> float:
    return float(trial["TunedHyperParameters"][name].strip('"'))


def _run_first() -> str:
    return f"run the DAG {PROJECT['name']}.train_and_deploy first."
