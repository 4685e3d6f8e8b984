"""Releases: what one promised, what is deleted when the next one has proved itself, and which one to go back to."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.errors import PermanentError
from include.pipeline.live import is_missing
from include.pipeline.names import function_name
from include.pipeline.registry import RELEASED, Package, find, known_good, predecessor
from include.pipeline.settings import Project
from include.pipeline.smoke_test import Expected

log = logging.getLogger(__name__)

PREVIOUS = "previous"


class ReleaseError(PermanentError):
    """A release that can't be gone back to; the message says why."""


def expected_of(package: Package) -> Expected:
    """What a package's model has to live up to: what its own evaluation measured, on its own test images."""
    found = package.properties
    interval = float(found["accuracy_low"]), float(found["accuracy_high"])
    return Expected(data=found["data"], model=package.model, accuracy_interval=interval)


def expected_before(
    serving: dict[str, Any], found: list[Package], data: str, evaluation: dict[str, Any]
) -> Expected:
    """What the model that served before a release has to live up to after a rollback.

    :param serving: see :func:`include.pipeline.live.read_live`.
    :param data: the data set of the release, for a model that has no package; then ``evaluation`` says how good it is
        on it. One that could not be evaluated may answer as it likes.
    """
    package = find(serving["model"], found)
    if package is not None and package.is_good:
        return expected_of(package)
    low, high = (evaluation["live"] or {}).get("accuracy_interval", (0.0, 1.0))
    return Expected(data=data, model=serving["model"], accuracy_interval=(low, high))


def label(package: Package) -> str:
    """What a person reads who chooses among versions."""
    found = package.properties
    return f"{package.version}: accuracy {found['accuracy']}, released {found[RELEASED]}"


def described(package: Package) -> str:
    """A version in words, for the middle of a log."""
    found = package.properties
    return f"Version {package.version} (accuracy {found['accuracy']}, released {found[RELEASED]})"


def versions(live_model: str | None, found: list[Package]) -> list[Package]:
    """The versions that a rollback can go to, the newest first.

    :raises ReleaseError: if nothing is live, or there is no other version that is known to be good.
    """
    if live_model is None:
        raise ReleaseError("Nothing is live, so there is nothing to roll back; run train_and_deploy.")
    good = known_good(found, live_model)
    if not good:
        raise ReleaseError(
            f"There is no version to go back to: besides {live_model}, no model package is approved and has passed "
            "its smoke test."
        )
    return good


def choose(wanted: str, live_model: str, found: list[Package]) -> Package:
    """The package that a person means.

    :param wanted: a version's number, or what :func:`label` returns; or ``previous``.
    :raises ReleaseError: if there is no such version that is known to be good.
    """
    good = versions(live_model, found)
    if wanted == PREVIOUS:
        before = predecessor(found, live_model)
        if before is None:
            raise ReleaseError(f"No good version is older than {live_model}; name one: {_numbers(good)}.")
        return before
    for package in good:
        # The whole label: after a deletion of the registry, another model has the number.
        if wanted in (str(package.version), label(package)):
            return package
    raise ReleaseError(
        f"{wanted!r} is no version to go back to; there are {_numbers(good)}, and {PREVIOUS!r}."
    )


def usable_function_version(
    project: Project, version: str | None, current: str | None, lambda_client: Any
) -> str | None:
    """The version of the function that was released with a model, or the current one where that is gone."""
    if version:
        try:
            lambda_client.get_function_configuration(FunctionName=function_name(project), Qualifier=version)
        except lambda_client.exceptions.ResourceNotFoundException:
            return current
    return version or current


def delete_superseded(
    project: Project,
    serving: dict[str, Any],
    before: dict[str, Any] | None,
    found: list[Package],
    sagemaker: Any,
    progress: Callable[[str], None] = log.info,
) -> list[str]:
    """Delete the endpoint configurations and models that neither serve nor are what a rollback goes back to.

    :param serving: what serves now, see :func:`include.pipeline.live.read_live`.
    :param before: what served before the release.
    :return: the names of what was deleted.
    """
    previous = predecessor(found, serving["model"])
    models = {
        serving["model"],
        (before or serving)["model"],
        previous.model if previous else serving["model"],
    }
    configs = {serving["endpoint_config"], (before or serving)["endpoint_config"]}
    deleted = []
    for name in list(_names(project, "config", sagemaker)):
        config = _describe_config(name, sagemaker)
        # Of the predecessor, the configuration is kept whatever run it was that made it.
        if config and name not in configs and _model(config) not in models - {serving["model"]}:
            sagemaker.delete_endpoint_config(EndpointConfigName=name)
            deleted.append(name)
    for name in list(_names(project, "model", sagemaker)):
        if name not in models:
            sagemaker.delete_model(ModelName=name)
            deleted.append(name)
    for name in deleted:
        progress(f"Deleted {name}.")
    return deleted


def _names(project: Project, kind: str, sagemaker: Any) -> Iterator[str]:
    """The project's own endpoint configurations or models; another project's name may begin alike."""
    operation, key, name = {
        "config": ("list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        "model": ("list_models", "Models", "ModelName"),
    }[kind]
    prefix = f"{project.aws_name}-{kind}-"
    for page in sagemaker.get_paginator(operation).paginate(NameContains=prefix):
        for item in page[key]:
            if re.fullmatch(rf"{re.escape(prefix)}[0-9a-f]{{12}}", item[name]):
                yield item[name]


def _describe_config(name: str, sagemaker: Any) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = sagemaker.describe_endpoint_config(EndpointConfigName=name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return config


def _model(config: dict[str, Any]) -> str:
    model: str = config["ProductionVariants"][0]["ModelName"]
    return model


def _numbers(good: list[Package]) -> str:
    return ", ".join(str(package.version) for package in good)
