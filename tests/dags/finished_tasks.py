"""The task instance of a run whose other tasks have ended, for code that reads their results."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from include.pipeline.results import GoodRelease, LiveRelease

RUN = "run"
ROLE = "arn:aws:iam::123456789012:role/any"
CANDIDATE = {"model": "candidate", "package": "arn:candidate", "version": 1, "evaluation": "e"}
LIVE = {"endpoint_config": "c", "model": "m", "artifact": "a", "inputs": "i", "function_version": "1"}
COMPLETE: dict[str, Any] = {
    "preflight": {
        "bucket": "bucket",
        "sagemaker_role": ROLE,
        "function_role": ROLE,
        "training_instance_profile": "arn:aws:iam::123456789012:instance-profile/any",
        "region": "us-east-1",
        "account": "123456789012",
        "images": {"tuning": "i:1", "training": "i:1", "processing": "i:1", "inference": "i:2"},
    },
    "stage_data": {"uri": "s3://bucket/data", "fingerprint": "f", "classes": ["owl"], "counts": {"test": 1}},
    "package_code": {"uri": "s3://bucket/sourcedir.tar.gz", "sha256": "c"},
    "serving_image": {"uri": "u", "content": "c", "build": None},
    "read_live": {"serving": LIVE, "good": LIVE | {"since": None}, "scaling": None},
    "features": {"name": "features-1", "output": "s3://bucket/features"},
    "tune": {"name": "tune-1", "hyperparameters": {}},
    "train": {"name": "train-1", "artifact": "s3://bucket/model.tar.gz"},
    "evaluate": {"name": "evaluate-1", "output": "s3://bucket/evaluation"},
    "register": {"arn": "arn:candidate", "version": 1, "approval_status": "PendingManualApproval"},
    "gate": {
        "accepted": True,
        "reason": "It is good.",
        "evaluation": {"images": 75, "candidate": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95]}},
        "candidate": CANDIDATE,
    },
    "record_approval": CANDIDATE,
    "choose_version": {
        "arn": "arn:chosen",
        "version": 1,
        "model": {"ModelName": "m"},
        "function_version": "1",
    },
    "smoke_test": {"accuracy": 1.0, "requests": []},
}
"""What each task returns at least."""


class StateStore(dict[str, Any]):
    """Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def task_instance(returned: dict[str, Any], states: dict[str, str] | None = None) -> Any:
    """Return a task instance that finds what other tasks have returned.

    :param returned: by task: what its XCom holds, whatever the task's state is. Missing members are added.
    :param states: by task: its state, if it is not ``success``.
    :return: with what it has pushed by key, as ``pushed``.
    """
    found = dict.fromkeys(returned, "success") | (states or {})
    stored = {task: _complete(COMPLETE.get(task), value) for task, value in returned.items()}
    pushed: dict[str, Any] = {}
    return SimpleNamespace(
        dag_id="dag",
        run_id=RUN,
        try_number=1,
        log_url="http://127.0.0.1:8080/dags/dag/runs/run/tasks/task",
        get_task_states=lambda dag_id, run_ids: {run_id: found for run_id in run_ids if run_id == RUN},
        pushed=pushed,
        xcom_push=lambda key, value: pushed.update({key: value}),
        xcom_pull=lambda task_ids, key: stored.get(task_ids) if key == "return_value" else None,
    )


def live_release(**members: Any) -> LiveRelease:
    return LiveRelease.model_validate(LIVE | members)


def good_release(**members: Any) -> GoodRelease:
    return GoodRelease.model_validate(LIVE | {"since": None} | members)


def names_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the names of the module in which the function of a task was defined."""
    names: dict[str, Any] = inspect.unwrap(function).__globals__
    return names


def _complete(default: Any, stated: Any) -> Any:
    if not isinstance(default, dict) or not isinstance(stated, dict):
        return stated
    return default | {key: _complete(default.get(key), value) for key, value in stated.items()}
