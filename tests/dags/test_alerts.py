"""Who is told of runs that fail or take too long, as Airflow keeps it in its database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.deadline import Deadline
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import DAG
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from amazon_ml.notifications.failures import keep_cause
from amazon_ml.notifications.sns import RunFailureNotifier
from sqlalchemy import select

REPOSITORY = Path(__file__).parents[2]
TOPIC = "arn:aws:sns:eu-west-1:123456789012:fishers"


def dag(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str = "") -> tuple[DagBag, DAG]:
    """The DAG of a project file with these lines, and the bag that it is in."""
    (folder / "fish.yaml").write_text(f"name: fish\ndescription: Tells fish apart.\n{text}")
    monkeypatch.setattr("include.pipeline.project_files.read_projects.__defaults__", (folder,))
    bag = DagBag(str(REPOSITORY / "dags"))
    return bag, bag.dags["fish.train_and_deploy"]


def test_each_task_keeps_its_cause_and_the_dag_tells_of_its_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, fish = dag(tmp_path, monkeypatch, f"notify:\n  topic_arn: {TOPIC}\n")
    assert all(task.on_failure_callback == [keep_cause] for task in fish.tasks)
    notifier = fish.on_failure_callback
    assert isinstance(notifier, RunFailureNotifier)
    assert (notifier.target_arn, notifier.stack_name) == (TOPIC, "image-classifier")
    assert notifier.subject == "fish: a run failed"


def test_without_a_limit_no_run_is_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dag(tmp_path, monkeypatch)[1].deadline is None


def test_a_run_that_is_late_has_the_triggerer_tell_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag, _ = dag(tmp_path, monkeypatch, "deadline_minutes: 90\n")
    initdb()
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    now = datetime.now(UTC)
    with create_session() as session:
        serialized = SerializedDagModel.get("fish.train_and_deploy", session=session)
        assert serialized is not None
        run = serialized.dag.create_dagrun(
            run_id="manual__1",
            run_after=now,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )
        session.flush()
        created = datetime.now(UTC)
        deadline = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).one()
        assert now <= deadline.deadline_time - timedelta(minutes=90) <= created
        deadline.handle_miss(session)
        asked = deadline.callback.trigger.kwargs
        session.rollback()
    assert asked["callback_path"] == "amazon_ml.notifications.sns.LateRunNotifier"
    kwargs = asked["callback_kwargs"]
    assert kwargs["subject"] == "fish: a run takes too long"
    assert kwargs["context"]["dag_run"]["dag_run_id"] == "manual__1"
