"""DAGs whose only task waits for SageMaker or EC2, in the worker or in the triggerer, or for a file, rescheduled."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import waiting_tasks
from airflow.sdk import DAG, get_current_context, task
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.operators.sagemaker_jobs import SageMakerResumableTrainingOperator

from include.pipeline.waiting import StepState

waiting_tasks.IN_WORKER_SECONDS = 0
OPERATORS: dict[str, Any] = {
    "training": SageMakerResumableTrainingOperator,
    "ec2": EC2TrainingOperator,
}

for kind, operator in OPERATORS.items():
    for waiting_in in ("worker", "triggerer"):
        with DAG(
            dag_id=f"{kind}_in_{waiting_in}",
            schedule=None,
            is_paused_upon_creation=False,
            params={"config": {}},
        ) as dag:
            operator(
                task_id="wait",
                config=lambda context, jinja_env: context["params"]["config"],
                poll_interval=0.5,
                deferrable=waiting_in == "triggerer",
                retries=2,
                retry_delay=timedelta(seconds=5),
            )
        globals()[dag.dag_id] = dag


with DAG("file_in_scheduler", schedule=None, is_paused_upon_creation=False, params={"gate": ""}):

    @task(retries=2, retry_delay=timedelta(seconds=5))
    @waiting_tasks.frees_its_slot(poll_seconds=1)
    def wait(state: StepState) -> None:
        """Note in a file next to the gate that the work has begun, and wait until the gate exists."""
        gate = Path(get_current_context()["params"]["gate"])
        state.once("begin", lambda: gate.with_suffix(".begun").open("a").write("begun\n"))
        if not gate.exists():
            state.wait("the gate", RuntimeError("It stays closed."))

    wait()
