"""Gives each region that is asked a service of its own, as in AWS: what is made in one is not known in another."""

import dataclasses
import functools
import re
import threading
from collections.abc import Callable

import botocore.session
from werkzeug.wrappers import Request, Response

from include.local_aws.config import Config
from include.local_aws.errors import AwsError
from include.local_aws.gateway import Service

_SCOPE = re.compile(r"Credential=[^/]+/\d+/([\w-]+)/")


def region_of(request: Request, default: str) -> str:
    """Return the region that a request is signed for; the default if it is not signed."""
    signed = _SCOPE.search(request.headers.get("Authorization", ""))
    if signed is not None:
        return signed[1]
    presigned = request.args.get("X-Amz-Credential", "").split("/")
    return presigned[2] if len(presigned) > 2 else default


class Regions:
    """A service of all regions.

    :param name: how botocore names the service.
    :param make: makes the service of one region.
    :param concerns: whether a request is for this service.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        make: Callable[[Config], Service],
        concerns: Callable[[Request], bool],
    ) -> None:
        self._config = config
        self._name = name
        self._make = make
        self._concerns = concerns
        self._lock = threading.Lock()
        self._services: dict[str, Service] = {config.region: make(config)}

    def respond(self, request: Request) -> Response | None:
        """Answer a request for the service with what the region of its signature has.

        :raises AwsError: when AWS has no such region
        """
        if not self._concerns(request):
            return None
        return self._of(region_of(request, self._config.region)).respond(request)

    def close(self) -> None:
        """Close the services of all regions."""
        with self._lock:
            services = list(self._services.values())
        for service in services:
            service.close()

    def _of(self, region: str) -> Service:
        with self._lock:
            if region not in self._services:
                if region not in _regions(self._name):
                    raise AwsError("ValidationException", f"AWS has no {self._name} in a region {region}.")
                folder = self._config.state_dir / region
                folder.mkdir(exist_ok=True)
                self._services[region] = self._make(
                    dataclasses.replace(self._config, region=region, state_dir=folder)
                )
            return self._services[region]


@functools.cache
def _regions(service: str) -> frozenset[str]:
    session = botocore.session.get_session()
    partitions = session.get_available_partitions()
    return frozenset(
        region for partition in partitions for region in session.get_available_regions(service, partition)
    )
