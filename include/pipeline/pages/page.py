"""Render the pages: Jinja2 templates with autoescape, one stylesheet, no scripts, one file per page."""

from __future__ import annotations

import posixpath
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from include.pipeline.cost import dollars
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.pages.documents import Link, Run
from include.pipeline.settings import Project

TEMPLATES = Path(__file__).with_name("templates")
NONE = "\N{EN DASH}"
MINUTE, HOUR = 60, 3600


def render(template: str, **content: Any) -> str:
    """Return a page as self-contained HTML.

    :param template: the name of a file in ``templates``.
    """
    return _environment().get_template(template).render(**content)


def put(text: str, uri: str, s3: Any) -> str:
    """Store a page in S3 and return its URI."""
    bucket, key = split_s3_uri(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/html; charset=utf-8")
    return uri


def run_folder(bucket: str, project: Project, run_id: str) -> str:
    """Return the S3 prefix of the pages of a run. Characters that must be quoted in URLs are replaced."""
    return f"{project_uri(bucket, project)}/runs/{re.sub(r'[^A-Za-z0-9_.-]', '-', run_id)}"


def navigation(uri: str, run: Run | None, **pages: str | None) -> list[Link]:
    """Return the links to the other pages of a run, and to the run in Airflow.

    :param uri: the S3 URI of the page, which the links are relative to.
    :param pages: the S3 URIs of other pages by title, with _ for a space; None for a page that does not exist.
    """
    folder = posixpath.dirname(uri)
    links = [
        Link(text=title.replace("_", " "), href=posixpath.relpath(page, folder))
        for title, page in pages.items()
        if page
    ]
    if run and run.url and run.url.startswith(("http://", "https://")):
        links.append(Link(text="Run in Airflow", href=run.url))
    return links


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "dollars": dollars,
        "duration": duration,
        "figure": figure,
        "moment": moment,
        "percent": percent,
        "readable": readable,
        "setting": setting,
        "signed": signed,
    }
    environment.globals["style"] = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))  # noqa: S704
    environment.globals["NONE"] = NONE
    return environment


def figure(value: float | None, digits: int = 3) -> str:
    """Format a number as ``0.925``, and None as a dash."""
    return NONE if value is None else f"{value:,.{digits}f}"


def signed(value: float) -> str:
    """Format a difference as ``+0.012``."""
    return f"{value:+.3f}"


def percent(value: float) -> str:
    """Format a share as ``93%``."""
    return f"{value:.0%}"


def setting(value: Any) -> str:
    """Round a hyperparameter to three digits: ``"0.003162277660168379"`` to ``0.00316``. Other text is unchanged."""
    text = str(value).strip('"')
    try:
        return f"{float(text):.3g}" if not re.fullmatch(r"-?\d+", text) else text
    except ValueError:
        return text


def readable(name: str) -> str:
    """Turn ``learning_rate`` into ``Learning rate``."""
    return name.replace("_", " ").strip().capitalize()


def duration(seconds: float | None) -> str:
    """Format a duration in its two largest units, as ``2 min 13 s``."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"


def moment(time: datetime | None) -> str:
    """Format a time as ``2026-11-28 16:20 UTC``."""
    return NONE if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
