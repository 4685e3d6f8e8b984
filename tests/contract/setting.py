"""What SageMaker's rows need before anything else: a role, images and a bucket, on local AWS and in an account."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from include.pipeline import support
from include.verify_aws.guard import PREFIX
from tests.archives import archive
from tests.environments import PATIENCE, WITHOUT_TORCH

__all__ = ["PATIENCE", "Setting", "in_account", "local", "waiting"]

INFERENCE = """
def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    raise RuntimeError("the model stumbled")
"""
ROLE_SECONDS = 15.0
"""How long SageMaker does not know a new role, and somewhat more."""


@dataclass(frozen=True)
class Setting:
    """A bucket with ``source.tar.gz`` (a script that does nothing) and ``model.tar.gz`` (a model that refuses)."""

    bucket: str
    role: str
    training_image: str
    inference_image: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def model_data(self) -> str:
        return f"s3://{self.bucket}/model.tar.gz"


@contextmanager
def local(client: Callable[[str], Any]) -> Iterator[Setting]:
    """On local AWS, which runs no containers and asks for no role."""
    with _bucket(client("s3")) as bucket:
        role = "arn:aws:iam::123456789012:role/contract"
        yield Setting(bucket, role, "pytorch", "pytorch", WITHOUT_TORCH)


@contextmanager
def in_account(client: Callable[[str], Any]) -> Iterator[Setting]:
    """In an account: AWS's own images, and a role that reaches the bucket alone. The sweep removes both as well."""
    iam, name = client("iam"), f"{PREFIX}-{uuid.uuid4().hex[:12]}"
    with _bucket(client("s3")) as bucket:
        role = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(_policy("sts:AssumeRole", Principal=_service("sagemaker"))),
        )["Role"]["Arn"]
        objects = _policy("s3:*", Resource=[f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])
        images = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        images += ["ecr:BatchCheckLayerAvailability", "logs:Create*", "logs:Put*", "logs:Describe*"]
        objects["Statement"] += _policy(images, Resource="*")["Statement"]
        iam.put_role_policy(RoleName=name, PolicyName="objects", PolicyDocument=json.dumps(objects))
        time.sleep(ROLE_SECONDS)
        region = client("sagemaker").meta.region_name
        images = support.table().images
        training = next(image for image in images["training"] if region in image.registries)
        # The handler of these tests is one for AWS's PyTorch toolkit, which the image before Ray Serve has.
        inference = next(image for image in images["inference"] if image.past)
        try:
            yield Setting(bucket, role, training.uri(region, "cpu"), inference.uri(region, "cpu"))
        finally:
            iam.delete_role_policy(RoleName=name, PolicyName="objects")
            iam.delete_role(RoleName=name)


@contextmanager
def _bucket(s3: Any) -> Iterator[str]:
    name, region = f"{PREFIX}-{uuid.uuid4().hex[:12]}", s3.meta.region_name
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=name, **place)
    s3.put_object(Bucket=name, Key="source.tar.gz", Body=archive({"train.py": ""}))
    s3.put_object(Bucket=name, Key="model.tar.gz", Body=archive({"code/inference.py": INFERENCE}))
    try:
        yield name
    finally:
        for item in s3.list_objects_v2(Bucket=name).get("Contents", []):
            s3.delete_object(Bucket=name, Key=item["Key"])
        s3.delete_bucket(Bucket=name)


def _policy(action: Any, **members: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **members}]}


def _service(name: str) -> dict[str, str]:
    return {"Service": f"{name}.amazonaws.com"}


def waiting(seconds: float) -> Callable[..., Any]:
    """Return what waits that long until a function's answer is true, and returns it."""

    def wait(probe: Callable[[], Any], patience: float = seconds) -> Any:
        deadline = time.monotonic() + patience
        while not (value := probe()):
            assert time.monotonic() < deadline, f"not so within {patience} s"
            time.sleep(0.25 if patience <= PATIENCE else 5)
        return value

    return wait
