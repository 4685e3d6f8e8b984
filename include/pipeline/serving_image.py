"""The serving image of our own: built by CodeBuild in the account, unless ECR has one of the same content."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.pipeline import packages
from include.pipeline.errors import PermanentError
from include.pipeline.infrastructure import Infrastructure
from include.pipeline.results import ServingImage
from include.pipeline.waiting import StepState

log = logging.getLogger(__name__)

SOURCE_KEY = "_serving-image/source.zip"
"""Where the CodeBuild project reads its source; no project's name begins with an underscore."""
BUILD_SECONDS = 1800


class ImageBuildError(PermanentError):
    """CodeBuild could not build the image; the message says where its log is."""


def tag(content: str) -> str:
    """Return the tag of the newest image of a content.

    :param content: the digest of ``include/serving``, 64 hexadecimal digits.
    """
    return f"content-{content}"


def ensure(
    stack: Infrastructure,
    clients: Callable[[str], Any],
    state: StepState,
    progress: Callable[[str], None] = log.info,
) -> ServingImage:
    """Return the image of ``include/serving`` in ECR, after it was built where ECR had none.

    :param clients: returns the boto3 client of a service.
    :raises Pending: while the image is being built.
    :raises ImageBuildError: the build failed, or takes too long.
    """
    stack.check_serving_image()
    assert stack.serving_repository is not None
    ecr, codebuild = clients("ecr"), clients("codebuild")
    package = packages.serving_package()
    repository = stack.serving_repository

    def begin() -> list[str | None]:
        """Return the digest of an existing image, or the ID of the build that has been started."""
        digest = find(repository, package.sha256, ecr)
        if digest:
            return [digest, None]
        clients("s3").put_object(Bucket=stack.bucket, Key=SOURCE_KEY, Body=package.content)
        # Without a token: it would return the build of an earlier try for five minutes, also one that has failed. Two
        # builds of one content push the same tags.
        build = codebuild.start_build(projectName=stack.serving_build)["build"]["id"]
        progress(f"ECR has no image of the content {package.sha256}. The build {build} makes it.")
        return [None, build]

    digest, build = state.once("begin", begin)
    if build:
        wait(build, codebuild, state)
        digest = find(repository, package.sha256, ecr)
        if digest is None:
            raise ImageBuildError(
                f"The build {build} has pushed no image of the content {package.sha256}: another run may have changed "
                "the source meanwhile. Clear this task."
            )
    uri = f"{repository}@{digest}"
    progress(f"The serving image is {uri}, {'just built' if build else 'already in ECR'}.")
    return ServingImage(uri=uri, content=package.sha256, build=build)


def find(repository: str, content: str, ecr: Any) -> str | None:
    """Return the digest of the newest image of a content, such as ``sha256:0f3a…``; None where there is none."""
    registry, _, name = repository.partition("/")
    try:
        found = ecr.describe_images(
            registryId=registry.partition(".")[0],
            repositoryName=name,
            imageIds=[{"imageTag": tag(content)}],
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return None
        raise
    digest: str = found["imageDetails"][0]["imageDigest"]
    return digest


def wait(build: str, codebuild: Any, state: StepState) -> None:
    found = codebuild.batch_get_builds(ids=[build])["builds"][0]
    if found["buildStatus"] == "SUCCEEDED":
        return
    if found["buildStatus"] != "IN_PROGRESS":
        link = found.get("logs", {}).get("deepLink", "CodeBuild's console")
        raise ImageBuildError(
            f"The build {build} of the serving image ended with {found['buildStatus']}: {_reason(found)} "
            f"Its log: {link}"
        )
    late = ImageBuildError(
        f"The build {build} of the serving image has not ended after {BUILD_SECONDS // 60} minutes. Look at "
        "its log in CodeBuild's console, and clear this task when it has."
    )
    state.wait(f"the build {build}", late, BUILD_SECONDS)


def _reason(build: AwsAnswer) -> str:
    """Return what the first phase that failed says."""
    messages = [
        f"{phase['phaseType']}: {context['message']}"
        for phase in build.get("phases", [])
        for context in phase.get("contexts", [])
        if context.get("message")
    ]
    return messages[0] if messages else "CodeBuild gives no reason."
