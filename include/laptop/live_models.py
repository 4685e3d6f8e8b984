"""Which models are live on local AWS: version, accuracy, since when and where."""

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

    :param status: of the endpoint, as SageMaker gives it.
    :param function: the function and its alias, such as ``sample:live``; None if there is no such alias.
    :param url: the function URL of the alias; None if it has none.
    :param version: the version in the model registry; None if the model is not in it.
    :param accuracy: on the test images, with the ends of its 95% interval.
    :param is_tested: whether this release has passed its smoke test.
    :param since: when it had; None if that is not known.
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
        """The version, or the model where it has none."""
        return f"version {self.version}" if self.version is not None else self.model


def figures(accuracy: tuple[float, float, float]) -> str:
    """Return an accuracy with its interval: ``0.925 (0.880 to 0.954)``."""
    return "{:.3f} ({:.3f} to {:.3f})".format(*accuracy)


def read(project: Project, client: Callable[[str], Any]) -> LiveModel | None:
    """Return the model that the project's endpoint serves, or None if there is no endpoint.

    :param client: makes the boto3 client of a service.
    """
    sagemaker, functions = client("sagemaker"), client("lambda")
    endpoint = live.describe_endpoint(project, sagemaker)
    serving = live.read_live(project, sagemaker, functions) if endpoint else None
    if endpoint is None or serving is None:
        return None
    good = known_good.read(project, sagemaker, functions)
    is_tested = good is not None and good["model"] == serving["model"]
    package = registry.find(serving["model"], registry.packages(project, sagemaker))
    measured = package.properties if package else {}
    keys = ("accuracy", "accuracy_low", "accuracy_high")
    return LiveModel(
        project=project.name,
        model=serving["model"],
        endpoint=endpoint_name(project),
        status=endpoint["EndpointStatus"],
        function=f"{function_name(project)}:{ALIAS}" if serving["function_version"] else None,
        url=function_url(project, functions),
        version=package.version if package else None,
        accuracy=(
            (float(measured[keys[0]]), float(measured[keys[1]]), float(measured[keys[2]]))
            if all(key in measured for key in keys)
            else None
        ),
        is_tested=is_tested,
        since=datetime.fromisoformat(good["since"]) if good and is_tested and good["since"] else None,
    )


def function_url(project: Project, functions: Any) -> str | None:
    """Return the function URL of the project's alias, or None if it has none."""
    try:
        found = functions.get_function_url_config(FunctionName=function_name(project), Qualifier=ALIAS)
    except functions.exceptions.ResourceNotFoundException:
        return None
    return str(found["FunctionUrl"])
