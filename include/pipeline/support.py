"""What AWS still patches of what a project names: container images, the function's runtime, notebooks, AMIs.

The table ``support.json`` is made by ``include/laptop/support_table.py``.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from include.pipeline.errors import PermanentError

TABLE = Path(__file__).with_name("support.json")
WARNING_DAYS = 60
INSTEAD = "Upgrade this project to a release that uses a newer one."
OLDEST_PYTORCH_AMI = (2, 10)
"""AWS says that Deep Learning AMIs with an earlier PyTorch have known flaws that it cannot patch."""


class SupportError(PermanentError):
    """AWS no longer patches something that the run would use; the message says what to change."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)


class Image(_Frozen):
    """A container image of AWS's.

    :param patched_until: the last day with patches; None if AWS publishes none.
    :param past: it is known for the models that name it, and no longer chosen.
    :param tags: by processor, ``cpu`` or ``gpu``.
    :param registries: the host of the registry, by region.
    """

    framework: str
    version: str
    python: str
    patched_until: datetime.date | None
    past: bool
    repository: str
    tags: Mapping[str, str]
    registries: Mapping[str, str]

    @property
    def name(self) -> str:
        """The repository and the version, such as ``pytorch:2.14``."""
        return f"{self.repository}:{self.version}"

    def uri(self, region: str, processor: str) -> str:
        """Return the image's URI.

        :raises KeyError: if the region does not have the image.
        """
        return f"{self.registries[region]}/{self.repository}:{self.tags[processor]}"


class Ends(_Frozen):
    """The last days with patches, by name.

    :param source: the page of AWS's documentation that says so.
    """

    source: str
    ends: Mapping[str, datetime.date | None]


class Table(_Frozen):
    """The contents of ``support.json``.

    :param checked: when the dates were compared with their sources.
    """

    checked: datetime.date
    images_source: str
    images: Mapping[str, tuple[Image, ...]]
    lambda_runtimes: Ends
    notebook_platforms: Ends
    pytorch_amis: Ends


class Used(_Frozen):
    """Something that a run uses and AWS patches.

    :param what: what it is, for the middle of a sentence.
    :param until: the last day with patches; None if AWS publishes none.
    :param instead: what to do when it ends, as a sentence.
    """

    what: str
    until: datetime.date | None
    source: str
    instead: str


@functools.cache
def table() -> Table:
    """Return the table, read once."""
    return Table.model_validate_json(TABLE.read_text(encoding="utf-8"))


def image_of(uri: str) -> Image | None:
    """Return the image that a URI names, or None if the table does not know it."""
    _, _, rest = uri.partition("/")
    repository, _, tag = rest.partition("@")[0].partition(":")
    images = (image for scope in table().images.values() for image in scope)
    return next((i for i in images if i.repository == repository and tag in i.tags.values()), None)


def image_used(uri: str, scope: str) -> Used | None:
    """Return until when AWS patches the image of a URI, or None if the table does not know the image.

    :param scope: ``training`` or ``inference``.
    """
    image = image_of(uri)
    if image is None:
        return None
    newest = next(other for other in table().images[scope] if not other.past)
    return Used(
        what=f"the {scope} image {image.name}",
        until=image.patched_until,
        source=table().images_source,
        instead=INSTEAD if image == newest else f"The newest image that this project knows is {newest.name}.",
    )


def runtime_used(runtime: str) -> Used:
    """Return until when AWS patches a runtime of Lambda."""
    return _named("Lambda's runtime", runtime, table().lambda_runtimes)


def notebook_used(platform: str) -> Used:
    """Return until when AWS patches a platform of notebook instances."""
    return _named("the notebook platform", platform, table().notebook_platforms)


def ami_used(version: str) -> Used:
    """Return until when AWS patches its Deep Learning AMI with a version of PyTorch such as ``2.13``."""
    return _named("the Deep Learning AMI with PyTorch", version, table().pytorch_amis)


def _named(what: str, name: str, known: Ends) -> Used:
    return Used(
        what=f"{what} {name}",
        until=known.ends.get(name),
        source=known.source,
        instead=INSTEAD,
    )


def check(used: Iterable[Used], today: datetime.date, allow_unpatched: bool) -> list[str]:
    """Return a sentence for each thing that AWS stops to patch within ``WARNING_DAYS``, or has stopped to patch.

    :param allow_unpatched: the project file's key of this name.
    :raises SupportError: if AWS has stopped to patch something, and the project file does not allow it.
    """
    ending, ended = [], []
    for item in used:
        if item.until is None:
            continue
        left = (item.until - today).days
        if left < 0:
            ended.append(
                f"AWS has not patched {item.what} since {item.until} ({item.source}). {item.instead}"
            )
        elif left <= WARNING_DAYS:
            ending.append(
                f"AWS stops patching {item.what} on {item.until}, in {left} days ({item.source}). {item.instead}"
            )
    if ended and not allow_unpatched:
        raise SupportError(
            f"{' '.join(ended)} To use it all the same, set allow_unpatched to true in the project file."
        )
    return [*ended, *ending]
