"""The plugin that loads the workarounds for faults of Airflow."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from upstream_guards import scheduler
from upstream_guards.deadlines import RunQueuedAt
from upstream_guards.questions import QuestionMiddleware

LISTENERS: list[Any] = [scheduler]
MIDDLEWARES = [{"name": "questions", "middleware": QuestionMiddleware}]
DEADLINE_REFERENCES = [RunQueuedAt]


class UpstreamGuardsPlugin(AirflowPlugin):
    """Add guards to the scheduler and to the API server, and a deadline reference."""

    name = "upstream_guards"
    deadline_references = DEADLINE_REFERENCES
    listeners = LISTENERS
    fastapi_root_middlewares = MIDDLEWARES
