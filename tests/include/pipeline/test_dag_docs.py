"""The documentation of the DAGs in Airflow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from include.pipeline import dag_docs
from include.pipeline.settings import Project

REPOSITORY = Path(__file__).parents[3]
KINDS = ("train_and_deploy", "rollback", "workspace", "teardown")
BIRDS = {"name": "song_birds", "description": "Tells song birds apart."}

every_kind = pytest.mark.parametrize("kind", KINDS)


def document(kind: str, **settings: Any) -> str:
    project = Project.model_validate({**BIRDS, **settings})
    text: str = getattr(dag_docs, kind)(project, lambda dag_id: f"[{dag_id}](/dags/{dag_id})")
    return text


@every_kind
def test_it_has_a_title_the_cost_and_how_to_stop(kind: str) -> None:
    text = document(kind)
    assert text.startswith("# song_birds: ")
    assert {"What it costs", "Stop it", "Read more"} <= set(re.findall(r"^## (.+)$", text, re.MULTILINE))


@every_kind
def test_it_names_the_project_and_leaves_no_placeholder(kind: str) -> None:
    assert not re.search(r"<\w+>|\{|\}", document(kind))


@every_kind
def test_it_names_only_dags_and_files_that_exist(kind: str) -> None:
    text = document(kind)
    links = re.findall(r"\[(\S+)\]\((\S+)\)", text)
    assert {dag_id for dag_id, _ in links} <= {f"song_birds.{other}" for other in KINDS}
    assert all(url == f"/dags/{dag_id}" for dag_id, url in links)
    files = re.findall(r"`(docs/\S+)`", text)
    assert files
    assert all((REPOSITORY / file).exists() for file in files)


@every_kind
def test_it_names_only_chapters_and_tasks_that_exist(kind: str) -> None:
    text = document(kind)
    for chapter, file in re.findall(r'"(.+?)" in\s+`(\S+)`', text):
        assert f"## {chapter}" in (REPOSITORY / file).read_text()
    sources = "".join(
        path.read_text()
        for folder in ("dags", "plugins/pipeline_steps")
        for path in (REPOSITORY / folder).glob("*.py")
    )
    for task in re.findall(r"task\s+`(\w+)`", text):
        assert re.search(rf"def {task}\(|task_id=\"{task}\"", sources), task


def test_it_names_the_resources_that_are_billed() -> None:
    text = document(
        "train_and_deploy", endpoint={"instance_type": "ml.c5.large", "min_instances": 2}, train_on="ec2"
    )
    assert "2 x ml.c5.large of the endpoint" in text
    assert "training (an EC2 instance g4dn.xlarge)" in text
    assert "`song-birds`" in text
    assert "ml.t3.medium, billed for as long" in document(
        "workspace", workspace={"instance_type": "ml.t3.medium"}
    )


def test_on_a_laptop_it_says_that_local_aws_is_free_of_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "free of charge" not in document("train_and_deploy")
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")
    assert "free of charge" in document("train_and_deploy")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        pytest.param({}, "Nothing else starts a run.", id="by hand"),
        pytest.param({"schedule": "@weekly"}, "started by the schedule `@weekly` (UTC), once", id="schedule"),
        pytest.param(
            {"schedule": "@weekly", "data": {"source": "s3://photos/", "watch_seconds": 60}},
            "the schedule `@weekly` (UTC) and by an upload to `s3://photos/`, once",
            id="schedule and uploads",
        ),
    ],
)
def test_it_says_what_starts_a_run(settings: dict[str, Any], sentence: str) -> None:
    assert sentence in document("train_and_deploy", **settings)


@pytest.mark.parametrize(("hours", "is_scheduled"), [(None, False), (12, True)])
def test_a_teardown_on_a_schedule_says_so(hours: int | None, is_scheduled: bool) -> None:
    text = document("teardown", endpoint={"ttl_hours": hours})
    assert ("no request for\n12 hours" in text) == is_scheduled
    assert ("also runs on a schedule" in text) == is_scheduled
