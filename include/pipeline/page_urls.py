"""The URLs at which Airflow serves the pages of a project from S3, and the rule for which objects it serves."""

from __future__ import annotations

import re
from urllib.parse import quote

from include.pipeline.names import split_s3_uri

ROOT = "/projects"
"""The path of ``plugins/project_pages`` below the base URL of Airflow."""
PROJECT = re.compile(r"[a-z]([a-z0-9_]*[a-z0-9])?", re.ASCII)
CONTENT_TYPES = {
    "html": "text/html; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}
_FOLDER = r"(?!\.\.?/)[\w.-]+"
_NAME = r"(?!\.)[\w.-]+"
_PICTURES = "|".join(ending for ending in CONTENT_TYPES if ending != "html")
PAGE = re.compile(rf"(runs|data|evaluate|tuning)/{_FOLDER}/({_NAME}\.html|pictures/{_NAME}\.({_PICTURES}))")
"""The objects below a project's prefix that may be served. Data sets and models are never directly in such a folder."""


def content_type(path: str) -> str | None:
    """Return the content type of a page or a picture, or None if the path is neither.

    :param path: the key of an object without the name of its project, for example ``runs/manual/report.html``.
    """
    return CONTENT_TYPES[path.rpartition(".")[2]] if PAGE.fullmatch(path) else None


def page_url(uri: str, base_url: str) -> str:
    """Return the URL at which Airflow serves a page, behind its login.

    :param uri: ``s3://<bucket>/<project>/<path of the page>``.
    :param base_url: the URL of Airflow (``[api] base_url``).
    :raises ValueError: if Airflow does not serve the object.
    """
    project, _, path = split_s3_uri(uri)[1].partition("/")
    if not PROJECT.fullmatch(project) or content_type(path) is None:
        raise ValueError(f"{uri!r} is not a page of a project. It must match <project>/{PAGE.pattern}.")
    return f"{base_url.rstrip('/')}{ROOT}/{project}/reports/{quote(path)}"


def workspace_url(project: str, base_url: str) -> str:
    """Return the URL at which Airflow opens the workspace of a project on local AWS."""
    return f"{base_url.rstrip('/')}{ROOT}/{project}/workspace"
