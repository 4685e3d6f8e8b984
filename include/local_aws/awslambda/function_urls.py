"""The configurations of function URLs: moto keeps them too, but knows no qualifier and serves none."""

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from include.local_aws.awslambda.moto_functions import function_arn
from include.local_aws.errors import AwsError

PATH = "/_local_aws/function-urls/"
"""Behind this the URLs are served, each by its id."""


@dataclass(frozen=True)
class FunctionUrl:
    """The URL of a function or its alias."""

    region: str
    name: str
    qualifier: str | None
    members: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: float = field(default_factory=time.time)
    modified: float = field(default_factory=time.time)

    def described(self, server: str) -> dict[str, Any]:
        """Return the configuration as AWS answers it; server is this local AWS's address."""
        return {
            "FunctionUrl": f"{server}{PATH}{self.id}/",
            "FunctionArn": function_arn(self.region, self.name, self.qualifier),
            "AuthType": self.members["AuthType"],
            "InvokeMode": self.members.get("InvokeMode", "BUFFERED"),
            "CreationTime": _text(self.created),
            "LastModifiedTime": _text(self.modified),
            **({"Cors": self.members["Cors"]} if "Cors" in self.members else {}),
        }


class FunctionUrls:
    """The URLs of all functions."""

    def __init__(self) -> None:
        self._urls: dict[tuple[str, str, str | None], FunctionUrl] = {}

    def create(self, region: str, name: str, qualifier: str | None, members: dict[str, Any]) -> FunctionUrl:
        """Make the URL of a function or its alias.

        :raises AwsError: ResourceConflictException when it has one; ValidationException without an AuthType
        """
        if (region, name, qualifier) in self._urls:
            arn = function_arn(region, name, qualifier)
            raise AwsError(
                "ResourceConflictException",
                f"Failed to create function url config for [functionArn = {arn}]. Error message:  "
                "FunctionUrlConfig exists for this Lambda function",
                409,
            )
        _check_auth(members)
        url = self._urls[region, name, qualifier] = FunctionUrl(region, name, qualifier, members)
        return url

    def get(self, region: str, name: str, qualifier: str | None) -> FunctionUrl:
        """Return the URL of a function or its alias.

        :raises AwsError: ResourceNotFoundException
        """
        url = self._urls.get((region, name, qualifier))
        if url is None:
            raise AwsError("ResourceNotFoundException", "The resource you requested does not exist.", 404)
        return url

    def update(self, url: FunctionUrl, members: dict[str, Any]) -> FunctionUrl:
        """Change members of a URL's configuration."""
        changed = url.members | members
        _check_auth(changed)
        new = replace(url, members=changed, modified=time.time())
        self._urls[url.region, url.name, url.qualifier] = new
        return new

    def forget(self, region: str, name: str, qualifier: str | None = None) -> None:
        """Drop the URL of an alias, or without a qualifier those of a function and its aliases."""
        for key in list(self._urls):
            if key[:2] == (region, name) and qualifier in (None, key[2]):
                del self._urls[key]

    def delete(self, url: FunctionUrl) -> None:
        """Drop a URL."""
        del self._urls[url.region, url.name, url.qualifier]

    def of_function(self, region: str, name: str) -> list[FunctionUrl]:
        """Return the URLs of a function and its aliases."""
        return [url for key, url in self._urls.items() if key[:2] == (region, name)]

    def by_path(self, path: str) -> FunctionUrl | None:
        """Return the URL that a request's path belongs to."""
        wanted = path.removeprefix(PATH).partition("/")[0]
        return next((url for url in self._urls.values() if url.id == wanted), None)


def _check_auth(members: dict[str, Any]) -> None:
    if members.get("AuthType") not in ("AWS_IAM", "NONE"):
        raise AwsError(
            "ValidationException", f"AuthType must be AWS_IAM or NONE, and is {members.get('AuthType')!r}."
        )


def _text(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(moment))
