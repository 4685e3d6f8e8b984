"""The kinds of weather, and how a user names them. Imports nothing, since options are read before moto is loaded."""

from collections.abc import Mapping

VARIABLE = "LOCAL_AWS_WEATHER"
SECONDS_VARIABLE = "LOCAL_AWS_WEATHER_SECONDS"
ALL = "all"
SECONDS = 5.0
"""How long a lag lasts, but that of the tagging index, which lasts six times as long."""
KINDS: Mapping[str, str] = {
    "configs": "CreateEndpoint and UpdateEndpoint do not find an endpoint configuration at first",
    "ec2": "EC2 does not find a new instance or security group at first",
    "pages": "SageMaker filters a page by status after it was taken",
    "roles": "a role or instance profile cannot be assumed at first",
    "tags": "the tagging index follows late",
    "throttling": "some calls are refused because there are too many",
}


def parse(text: str) -> frozenset[str]:
    """Return the kinds that a comma-separated list names; ``all`` stands for all of them, and an empty text for none.

    :raises ValueError: naming what is not a kind
    """
    names = {name.strip() for name in text.split(",")} - {""}
    if unknown := names - KINDS.keys() - {ALL}:
        raise ValueError(
            f"{', '.join(sorted(unknown))} is no kind of weather. Choose from {ALL}, {', '.join(KINDS)}."
        )
    return frozenset(KINDS if ALL in names else names)
