"""Releases: what to expect of one, which one to go back to, and what to delete after a successful one."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from include.aws.documents import AwsAnswer
from include.pipeline.errors import PermanentError
from include.pipeline.images import container_images
from include.pipeline.live import is_missing
from include.pipeline.names import function_name
from include.pipeline.registry import RELEASED, ModelVersion, find, known_good, predecessor
from include.pipeline.resource_kinds import ENDPOINT_CONFIG, MODEL, SageMakerKind
from include.pipeline.results import Evaluation, LiveRelease
from include.pipeline.settings import RAY_IMAGE, Project
from include.pipeline.smoke_test import Expected

log = logging.getLogger(__name__)

PREVIOUS = "previous"
OLDER_IMAGE = "; older image "
"""Separates the name of the container image from the rest of a version's label."""


class ReleaseError(PermanentError):
    """Raised if a rollback to a release is not possible; the message says why."""


def expected_of(package: ModelVersion) -> Expected:
    """Return the expectations for a package's model: the result of its own evaluation on its own test images."""
    found = package.properties
    interval = float(found["accuracy_low"]), float(found["accuracy_high"])
    return Expected(
        data=found["data"], model=package.model, accuracy_interval=interval, answers=package.answers
    )


def expected_before(
    serving: LiveRelease, found: list[ModelVersion], data: str, evaluation: Evaluation
) -> Expected:
    """Return the expectations for the previous live model after a rollback.

    :param serving: the previous live model.
    :param data: the data set of the release, used for a model without a package.
    :param evaluation: the evaluation of the release, used for a model without a package. If the model could not be
        evaluated, any accuracy is accepted.
    """
    package = find(serving.model, found)
    if package is not None and package.is_good:
        return expected_of(package)
    interval = (evaluation.compared and evaluation.compared.accuracy_interval) or (0.0, 1.0)
    return Expected(data=data, model=serving.model, accuracy_interval=interval)


def label(package: ModelVersion, current_image: str | None = None) -> str:
    """Return the label of a version in the list to choose from. It names the container image if it is not current.

    :param current_image: see :func:`current_image`.
    """
    found = package.properties
    text = f"{package.version}: accuracy {found['accuracy']}, released {found[RELEASED]}"
    return f"{text}{OLDER_IMAGE}{_short(package)}" if image_warning(package, current_image) else text


def current_image(project: Project, region: str) -> str | None:
    """Return the URI of the container image that serves a model trained today.

    :return: None if the region has none, and for a project with a serving image of its own: each of those stays in its
        repository.
    """
    if project.endpoint.image != RAY_IMAGE:
        return None
    try:
        return container_images(project, region).inference
    except ValueError:
        return None


def image_warning(package: ModelVersion, current_image: str | None) -> str | None:
    """Return a warning if the container image of a package is not the current one, or None.

    A rollback to it works as long as AWS keeps the image that the model was trained for.
    """
    image = package.container.get("Image")
    if not image or not current_image or image == current_image:
        return None
    return (
        f"Version {package.version} runs in the container image {_short(package)}, not in the current "
        f"{current_image.rpartition('/')[2]}. AWS may no longer patch it. Train a new model soon."
    )


def _short(package: ModelVersion) -> str:
    image: str = package.container["Image"]
    return image.rpartition("/")[2]


def described(package: ModelVersion) -> str:
    """Return a version as text for a log."""
    found = package.properties
    return f"Version {package.version} (accuracy {found['accuracy']}, released {found[RELEASED]})"


def versions(live_model: str | None, found: list[ModelVersion]) -> list[ModelVersion]:
    """Return the versions that a rollback can go to, newest first.

    :raises ReleaseError: if no model is live, or no other version is known to be good.
    """
    if live_model is None:
        raise ReleaseError("No model is live, so a rollback is not possible. Run train_and_deploy.")
    good = known_good(found, live_model)
    if not good:
        raise ReleaseError(
            f"No version to roll back to: besides {live_model}, no model package is approved and has passed its smoke "
            "test."
        )
    return good


def choose(wanted: str, live_model: str, found: list[ModelVersion]) -> ModelVersion:
    """Return the package that a person has chosen.

    :param wanted: the number of a version, its :func:`label`, or ``previous``.
    :raises ReleaseError: if no good version matches.
    """
    good = versions(live_model, found)
    if wanted == PREVIOUS:
        before = predecessor(found, live_model)
        if before is None:
            raise ReleaseError(f"No good version is older than {live_model}. Choose one of {_numbers(good)}.")
        return before
    for package in good:
        # Compare the whole label: if the registry was deleted, the number may belong to another model.
        if wanted.partition(OLDER_IMAGE)[0] in (str(package.version), label(package)):
            return package
    raise ReleaseError(
        f"{wanted!r} is not a version to roll back to. Choose one of {_numbers(good)}, or {PREVIOUS!r}."
    )


def usable_function_version(
    project: Project, version: str | None, current: str | None, lambda_client: Any
) -> str:
    """Return the function version that was released with a model, or the current one if that no longer exists.

    :raises ReleaseError: if neither exists.
    """
    if version:
        try:
            lambda_client.get_function_configuration(FunctionName=function_name(project), Qualifier=version)
            return version
        except lambda_client.exceptions.ResourceNotFoundException:
            pass
    if current is None:
        raise ReleaseError(
            f"The function {function_name(project)} has no version that can serve the model. Run train_and_deploy."
        )
    return current


def delete_superseded(
    project: Project,
    serving: LiveRelease,
    before: LiveRelease | None,
    found: list[ModelVersion],
    sagemaker: Any,
    progress: Callable[[str], None] = log.info,
) -> list[str]:
    """Delete the endpoint configurations and models that are not live and not needed for a rollback.

    :param serving: the live model.
    :param before: the live model before the release.
    :return: the names of the deleted resources.
    """
    previous = predecessor(found, serving.model)
    models = {
        serving.model,
        (before or serving).model,
        previous.model if previous else serving.model,
    }
    configs = {serving.endpoint_config, (before or serving).endpoint_config}
    deleted = []
    for name in list(_names(project, ENDPOINT_CONFIG, sagemaker)):
        config = _describe_config(name, sagemaker)
        # The configuration of the predecessor is kept, whichever run created it.
        if config and name not in configs and _model(config) not in models - {serving.model}:
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
            deleted.append(name)
    for name in list(_names(project, MODEL, sagemaker)):
        if name not in models:
            sagemaker.delete_model(ModelName=name)
            deleted.append(name)
    for name in deleted:
        progress(f"Deleted {name}.")
    return deleted


def _names(project: Project, kind: SageMakerKind, sagemaker: Any) -> Iterator[str]:
    """Yield the project's endpoint configurations or models; another project's name may have the same prefix."""
    prefix = f"{project.aws_name}-{kind.steps[0]}-"
    for item in kind.rows(sagemaker, NameContains=prefix):
        if re.fullmatch(rf"{re.escape(prefix)}[0-9a-f]{{12}}", name := kind.name_of(item)):
            yield name


def _describe_config(name: str, sagemaker: Any) -> AwsAnswer | None:
    try:
        config: AwsAnswer = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return config


def _model(config: AwsAnswer) -> str:
    model: str = config["ProductionVariants"][0]["ModelName"]
    return model


def _numbers(good: list[ModelVersion]) -> str:
    return ", ".join(str(package.version) for package in good)
