"""DAGs whose only task waits for SageMaker or EC2, in the worker or in the triggerer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG
from amazon_ml.operators.ec2_training import EC2TrainingOperator
from amazon_ml.operators.sagemaker_jobs import SageMakerResumableTrainingOperator

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
