"""The documents that all pages have in common."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A document of JSON. Keys that this version does not know are ignored, so that it can read other versions'."""

    model_config = ConfigDict(extra="ignore")


class Run(Document):
    """The DAG run that has made a page.

    :param url: of the run in Airflow.
    """

    id: str
    url: str | None = None
    started: datetime | None = None


class Chart(Document):
    """A drawing for light pages and the same one for dark pages, each as a ``data:`` URI.

    :param alt: what it shows, for readers who do not see it.
    :param width: in CSS pixels; likewise ``height``.
    """

    light: str
    dark: str
    alt: str
    width: int
    height: int


class Link(Document):
    """A link in the navigation of a page. ``href`` is relative to the page, or a URL of Airflow."""

    text: str
    href: str
