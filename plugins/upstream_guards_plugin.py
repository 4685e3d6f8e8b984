"""The plugin that loads the workarounds for faults of Airflow."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from upstream_guards import executor_events
from upstream_guards.questions import QuestionMiddleware

LISTENERS: list[Any] = [executor_events]
MIDDLEWARES = [{"name": "questions", "middleware": QuestionMiddleware}]


class UpstreamGuardsPlugin(AirflowPlugin):
    """Add a guard to the scheduler and one to the API server."""

    name = "upstream_guards"
    listeners = LISTENERS
    fastapi_root_middlewares = MIDDLEWARES
