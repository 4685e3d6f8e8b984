"""The plugin that loads the workarounds for faults of Airflow."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from upstream_guards import scheduler
from upstream_guards.questions import QuestionMiddleware

LISTENERS: list[Any] = [scheduler]
MIDDLEWARES = [{"name": "questions", "middleware": QuestionMiddleware}]


class UpstreamGuardsPlugin(AirflowPlugin):
    """Add guards to the scheduler and to the API server."""

    name = "upstream_guards"
    listeners = LISTENERS
    fastapi_root_middlewares = MIDDLEWARES
