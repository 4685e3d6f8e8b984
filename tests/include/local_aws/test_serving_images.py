"""A build of CodeBuild makes a serving image, and an endpoint of that image runs the very files it was made of."""

import io
import json
import tarfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from include.local_aws.moto_patches.codebuild import MANIFEST
from include.pipeline import packages, serving_image
from include.pipeline.infrastructure import Infrastructure
from include.pipeline.results import ServingImage
from tests.endpoints import create_endpoint
from tests.environments import PATIENCE
from tests.include.pipeline.processes import done
from tests.include.serving.small_model import write_model

ROLE = "arn:aws:iam::123456789012:role/codebuild"


@pytest.fixture
def name() -> str:
    return f"t-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def stack(local_aws: Any, name: str) -> Iterator[Infrastructure]:
    """A bucket, a repository and a project, as the stack has them."""
    ecr, codebuild, s3 = (local_aws.client(service) for service in ("ecr", "codebuild", "s3"))
    repository = ecr.create_repository(repositoryName=name)["repository"]["repositoryUri"]
    s3.create_bucket(Bucket=name)
    codebuild.create_project(
        name=name,
        serviceRole=ROLE,
        source={"type": "S3", "location": f"{name}/{serving_image.SOURCE_KEY}"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={
            "type": "LINUX_CONTAINER",
            "computeType": "BUILD_GENERAL1_SMALL",
            "image": "i",
            "environmentVariables": [{"name": "REPOSITORY", "value": repository}],
        },
    )
    yield Infrastructure(
        bucket=name,
        sagemaker_role=ROLE,
        function_role=ROLE,
        serving_repository=repository,
        serving_build=name,
    )
    ecr.delete_repository(repositoryName=name, force=True)
    codebuild.delete_project(name=name)


@pytest.fixture
def ensure(local_aws: Any, stack: Infrastructure) -> Callable[[], ServingImage]:
    return lambda: done(serving_image.ensure, stack, local_aws.client)


def test_an_image_is_built_once_for_its_content(
    ensure: Callable[[], ServingImage], stack: Infrastructure, local_aws: Any
) -> None:
    first = ensure()
    again = ensure()

    content = packages.serving_package().sha256
    assert first.uri.startswith(f"{stack.serving_repository}@sha256:")
    assert first.content == content
    assert again == first.model_copy(update={"build": None})
    [image] = local_aws.client("ecr").describe_images(repositoryName=stack.bucket)["imageDetails"]
    assert f"content-{content}" in image["imageTags"]
    assert any(tag.startswith("build-") for tag in image["imageTags"])
    [build] = local_aws.client("codebuild").batch_get_builds(ids=[first.build])["builds"]
    assert (build["buildStatus"], build["currentPhase"]) == ("SUCCEEDED", "COMPLETED")


def test_a_build_without_source_fails_with_a_reason(local_aws: Any, stack: Infrastructure) -> None:
    codebuild = local_aws.client("codebuild")

    build = codebuild.start_build(projectName=stack.serving_build)["build"]["id"]

    with pytest.raises(serving_image.ImageBuildError, match=r"FAILED: DOWNLOAD_SOURCE: NoSuchKey"):
        done(serving_image.wait, build, codebuild)


def test_a_source_without_a_server_fails_with_a_reason(local_aws: Any, stack: Infrastructure) -> None:
    codebuild, file = local_aws.client("codebuild"), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("Dockerfile", "FROM scratch")
    local_aws.client("s3").put_object(Bucket=stack.bucket, Key=serving_image.SOURCE_KEY, Body=file.getvalue())

    build = codebuild.start_build(projectName=stack.serving_build)["build"]["id"]

    with pytest.raises(serving_image.ImageBuildError, match=r"The source has no content, serve\.py\."):
        done(serving_image.wait, build, codebuild)


def test_members_that_would_change_the_build_are_refused(local_aws: Any, stack: Infrastructure) -> None:
    with pytest.raises(ClientError, match="does not implement buildspecOverride of StartBuild"):
        local_aws.client("codebuild").start_build(projectName=stack.serving_build, buildspecOverride="x")


def test_an_endpoint_runs_the_image(
    ensure: Callable[[], ServingImage],
    stack: Infrastructure,
    local_aws: Any,
    tmp_path: Path,
    photo: bytes,
) -> None:
    image = ensure().uri

    answer, variant = _serve(local_aws, stack.bucket, image, tmp_path, photo)

    assert b"002.Green" in answer["Body"].read()
    assert variant["DeployedImages"] == [{"SpecifiedImage": image, "ResolvedImage": image}]


@pytest.fixture
def photo() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (48, 40), (20, 220, 20)).save(file, "JPEG")
    return file.getvalue()


def test_an_image_that_does_not_exist_fails_the_endpoint(
    stack: Infrastructure, local_aws: Any, tmp_path: Path, photo: bytes
) -> None:
    image = f"{stack.serving_repository}:missing"

    with pytest.raises(AssertionError, match=f"The image {image} does not exist"):
        _serve(local_aws, stack.bucket, image, tmp_path, photo)


def _serve(
    local_aws: Any, name: str, image: str, folder: Path, photo: bytes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Serve a small model by an image, and return an answer and the endpoint's variant."""
    write_model(folder)
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for path in sorted((folder / "model").iterdir()):
            tar.add(path, arcname=path.name)
    local_aws.client("s3").put_object(Bucket=name, Key="model.tar.gz", Body=file.getvalue())
    sagemaker = local_aws.client("sagemaker")
    container = {
        "Image": image,
        "ModelDataUrl": f"s3://{name}/model.tar.gz",
        "Environment": {"MODEL_RUNTIME": "onnxruntime"},
    }
    sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    create_endpoint(sagemaker, name)
    try:
        deadline = time.monotonic() + PATIENCE
        while (found := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] == "Creating":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert found["EndpointStatus"] == "InService", found["FailureReason"]
        runtime = local_aws.client("sagemaker-runtime")
        answer = runtime.invoke_endpoint(EndpointName=name, Body=photo, ContentType="image/jpeg")
        return answer, found["ProductionVariants"][0]
    finally:
        sagemaker.delete_endpoint(EndpointName=name)


def test_an_image_that_was_pushed_from_elsewhere_fails_the_endpoint(
    stack: Infrastructure, local_aws: Any, tmp_path: Path, photo: bytes
) -> None:
    digest = f"sha256:{'0a' * 32}"
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": [{"digest": digest, "size": 1}]}
    local_aws.client("ecr").put_image(
        repositoryName=stack.bucket, imageManifest=json.dumps(manifest), imageTag="1"
    )

    with pytest.raises(AssertionError, match=r"Local AWS has not built the image .*@sha256:"):
        _serve(local_aws, stack.bucket, f"{stack.serving_repository}:1", tmp_path, photo)
