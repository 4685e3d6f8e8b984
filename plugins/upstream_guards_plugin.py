"""Load the workarounds for bugs in Airflow."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from upstream_guards import scheduler, triggerer
from upstream_guards.deadlines import RunQueuedAt
from upstream_guards.questions import QuestionMiddleware

LISTENERS: list[Any] = [scheduler, triggerer]
MIDDLEWARES = [{"name": "questions", "middleware": QuestionMiddleware}]
DEADLINE_REFERENCES = [RunQueuedAt]


class UpstreamGuardsPlugin(AirflowPlugin):
    """Add guards to the scheduler, the triggerer and the API server, and a deadline reference."""

    name = "upstream_guards"
    deadline_references = DEADLINE_REFERENCES
    listeners = LISTENERS
    fastapi_root_middlewares = MIDDLEWARES
