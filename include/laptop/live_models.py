"""The live models on local AWS: version, accuracy, endpoint and since when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.pipeline import known_good, live, registry
from include.pipeline.names import ALIAS, endpoint_name, function_name
from include.pipeline.settings import Project


@dataclass(frozen=True)
class LiveModel:
    """The model that an endpoint serves.

    :param status: The status of the endpoint.
    :param function: The function and its alias, such as ``sample:live``; None if the alias does not exist.
    :param url: The function URL of the alias; None if it has none.
    :param version: The version in the model registry; None if the model is not registered.
    :param accuracy: The accuracy on the test images, with the bounds of its 95% interval.
    :param is_tested: Whether this release has passed its smoke test.
    :param since: When it passed the smoke test; None if unknown.
    """

    project: str
    model: str
    endpoint: str
    status: str
    function: str | None = None
    url: str | None = None
    version: int | None = None
    accuracy: tuple[float, float, float] | None = None
    is_tested: bool = True
    since: datetime | None = None

    @property
    def name(self) -> str:
        """The version, or the model if it has no version."""
        return f"version {self.version}" if self.version is not None else self.model


def figures(accuracy: tuple[float, float, float]) -> str:
    """Return an accuracy with its interval: ``0.925 (0.880 to 0.954)``."""
    return "{:.3f} ({:.3f} to {:.3f})".format(*accuracy)


def read(project: Project, client: Callable[[str], Any]) -> LiveModel | None:
    """Return the model that the project's endpoint serves, or None if the endpoint does not exist.

    :param client: Return the boto3 client of a service.
    """
    sagemaker, functions = client("sagemaker"), client("lambda")
    endpoint = live.describe_endpoint(project, sagemaker)
    serving = live.read_live(project, sagemaker, functions) if endpoint else None
    if endpoint is None or serving is None:
        return None
    good = known_good.read(project, sagemaker, functions)
    is_tested = good is not None and good.model == serving.model
    package = registry.find(serving.model, registry.packages(project, sagemaker))
    measured = package.properties if package else {}
    keys = ("accuracy", "accuracy_low", "accuracy_high")
    return LiveModel(
        project=project.name,
        model=serving.model,
        endpoint=endpoint_name(project),
        status=endpoint["EndpointStatus"],
        function=f"{function_name(project)}:{ALIAS}" if serving.function_version else None,
        url=function_url(project, functions),
        version=package.version if package else None,
        accuracy=(
            (float(measured[keys[0]]), float(measured[keys[1]]), float(measured[keys[2]]))
            if all(key in measured for key in keys)
            else None
        ),
        is_tested=is_tested,
        since=datetime.fromisoformat(good.since) if good and is_tested and good.since else None,
    )


def function_url(project: Project, functions: Any) -> str | None:
    """Return the function URL of the project's alias, or None if it has none."""
    try:
        found = functions.get_function_url_config(FunctionName=function_name(project), Qualifier=ALIAS)
    except functions.exceptions.ResourceNotFoundException:
        return None
    return str(found["FunctionUrl"])
