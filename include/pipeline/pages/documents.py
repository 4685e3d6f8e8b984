"""The base of all models of JSON documents, and those that all pages use."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A JSON document. Unknown keys are ignored, so that documents of other versions can be read."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class Run(Document):
    """The DAG run that has created a page.

    :param url: the URL of the run in Airflow.
    """

    id: str
    url: str | None = None
    started: datetime | None = None


class Chart(Document):
    """A chart in a light and a dark version, each as a ``data:`` URI.

    :param alt: the alternative text.
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
