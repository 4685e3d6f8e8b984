"""A DAG that asks many questions at once: for answers that are given at once."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from human_input.operators import AskOperator

QUESTIONS = 50

with DAG(dag_id="questions", schedule=None, is_paused_upon_creation=False):
    AskOperator.partial(
        task_id="ask", options=["Approve", "Reject"], retries=2, retry_delay=timedelta(seconds=1)
    ).expand(subject=[f"Deploy model {number}?" for number in range(QUESTIONS)])
