"""Serve the pages of projects, and register the links to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from project_pages.links import (
    DataReportLink,
    EvaluationReportLink,
    RunReportLink,
    TuningReportLink,
    WorkspaceLink,
)

from include.pipeline import page_urls

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

LINKS: list[Any] = [
    DataReportLink(),
    TuningReportLink(),
    EvaluationReportLink(),
    RunReportLink(),
    WorkspaceLink(),
]


class Pages:
    """
    The application, imported at its first request.

    Every component of Airflow loads plugins, but only the API server needs FastAPI.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        from project_pages.app import app

        await app(scope, receive, send)


APPS = [{"name": "project_pages", "url_prefix": page_urls.ROOT, "app": Pages()}]


class ProjectPagesPlugin(AirflowPlugin):
    """Add the pages to the API server, and the links to tasks."""

    name = "project_pages"
    fastapi_apps = APPS
    operator_extra_links = LINKS
