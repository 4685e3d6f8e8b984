"""Measure the latency that the function and the endpoint of local AWS add to the handler's time."""

from __future__ import annotations

import base64
import io
import json
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from benchmarks import classifier_jobs, serve, servers
from benchmarks.classifier_jobs import LITE0
from benchmarks.dataset import unpack
from benchmarks.latency import timed
from benchmarks.options import Options
from benchmarks.peers import ROOT
from benchmarks.results import Result, cheaper
from include.pipeline import job_requests
from include.pipeline.packages import function_package

NAME = "benchmark"
ROLE = f"arn:aws:iam::123456789012:role/{NAME}"
CLASSES = 10
HANDLER_ALONE = "the handler alone"


def run(options: Options) -> list[Result]:
    """Compare the latency of the endpoint alone, and of the function with the endpoint."""
    alone, by_endpoint, by_function = measure(options)
    return [
        added("the endpoint", by_endpoint, alone),
        added("function and endpoint", by_function, alone),
    ]


def measure(options: Options) -> tuple[list[float], list[float], list[float]]:
    """Send each photo to the handler, through the endpoint, and through the function.

    :return: The seconds of each way, by photo.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        photos = serve.write_photos(
            unpack(options.dataset, scratch / "images", options.of_each_split()), scratch
        )
        bodies = [path.read_bytes() for path in sorted(photos.iterdir())]
        model = scratch / "model"
        classifier_jobs.run_module("random_model", LITE0, CLASSES, photos, model)
        with local_aws(scratch) as client, serve.worker("ours", model, photos, one_core=False) as handler:
            deploy(client, model)
            endpoint, function = client("sagemaker-runtime"), client("lambda")

            def through_endpoint(photo: list[bytes]) -> list[Any]:
                return ask_endpoint(endpoint, photo[0])

            def through_function(photo: list[bytes]) -> list[Any]:
                return ask_function(function, photo[0])

            # The first request starts the process of the function.
            first = [way(bodies[:1]) for way in (through_endpoint, through_function)]
            if first[0] != first[1]:
                raise RuntimeError(f"The predictions of the endpoint and the function differ: {first}")
            alone: list[float] = []
            by_endpoint: list[float] = []
            by_function: list[float] = []
            for number in list(range(len(bodies))) * options.rounds:
                alone += handler(number).single
                by_endpoint.append(timed(through_endpoint, [bodies[number]]))
                by_function.append(timed(through_function, [bodies[number]]))
    return alone, by_endpoint, by_function


def added(what: str, through: Sequence[float], alone: Sequence[float]) -> Result:
    """Return the median time that a way adds to the handler's time for the same photo; the ratio compares both.

    :raises RuntimeError: If the added time is not positive, which happens only on a busy machine.
    """
    handler = 1000 * statistics.median(alone)
    overhead = 1000 * statistics.median(t - a for t, a in zip(through, alone, strict=True))
    if overhead <= 0:
        raise RuntimeError(
            f"This machine is too busy to measure what {what} adds to the handler's {handler:.1f} ms. Try again when "
            "it is idle."
        )
    return cheaper(f"local, added by {what}, p50", overhead, handler, HANDLER_ALONE, "ms")


def ask_endpoint(client: Any, body: bytes) -> list[Any]:
    answer = client.invoke_endpoint(EndpointName=NAME, ContentType="image/jpeg", Body=body)
    predictions: list[Any] = json.load(answer["Body"])["predictions"]
    return predictions


def ask_function(client: Any, body: bytes) -> list[Any]:
    event = json.dumps({"image": base64.b64encode(body).decode()})
    answer = json.load(client.invoke(FunctionName=NAME, Payload=event)["Payload"])
    if "predictions" not in answer:
        raise RuntimeError(f"The function returned no prediction: {answer}")
    predictions: list[Any] = answer["predictions"]
    return predictions


@contextmanager
def local_aws(scratch: Path) -> Iterator[Callable[[str], Any]]:
    """Run a separate local AWS whose child processes compute with one thread; yield a factory for clients."""
    port = servers.free_port()
    command = [sys.executable, "-m", "include.local_aws", "--port", str(port)]
    command += ["--state-dir", str(scratch / "state")]
    log = scratch / "local_aws.log"

    def client(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",
            config=Config(s3={"addressing_style": "path"}, proxies={}),
        )

    with servers.running(command, port, "/_local_aws/health", servers.ONE_THREAD, log, ROOT):
        yield client


def deploy(client: Callable[[str], Any], model: Path) -> None:
    """Create an endpoint with one instance of a saved model, and the function in front of it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", compresslevel=1) as tar:
        tar.add(model, arcname=".")
    s3, sagemaker = client("s3"), client("sagemaker")
    s3.create_bucket(Bucket=NAME)
    s3.put_object(Bucket=NAME, Key="model.tar.gz", Body=archive.getvalue())
    container = {"Image": "pytorch", "ModelDataUrl": f"s3://{NAME}/model.tar.gz"}
    sagemaker.create_model(ModelName=NAME, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {
        "VariantName": NAME,
        "ModelName": NAME,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    role = client("iam").create_role(RoleName=NAME, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    client("lambda").create_function(
        FunctionName=NAME,
        Role=role,
        Runtime=job_requests.FUNCTION_RUNTIME,
        Handler="handler.handler",
        Timeout=60,
        Environment={"Variables": {"ENDPOINT_NAME": NAME}},
        Code={"ZipFile": function_package().content},
    )
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": servers.START_SECONDS}
    )
