"""Every DAG can be read, is complete, and costs little to parse."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.assets import AssetOrTimeSchedule
from pipeline_steps.results import PipelineResults

from include.pipeline.errors import PermanentError
from include.pipeline.gate import ALLOWANCES
from include.pipeline.project_files import read_projects
from include.pipeline.results import Evaluation
from include.pipeline.run_conf import RunConfError
from include.pipeline.settings import Project
from tests.dags.finished_tasks import live_release, names_of, task_instance

REPOSITORY = Path(__file__).parents[2]
HEAVY = ("torch", "torchvision", "sagemaker.core", "sagemaker.train", "onnxruntime", "matplotlib")
KINDS = ("train_and_deploy", "rollback", "teardown", "workspace")
STEPS = [
    "preflight",
    "estimate_cost",
    "stage_data",
    "package_code",
    "read_live",
    "check_for_changes",
    "stage_weights",
    "features",
    "tune",
    "choose_place",
    "train",
    "prepare_ec2",
    "train_on_ec2",
    "evaluate",
    "register",
    "gate",
    "approve",
    "record_approval",
    "create_model",
    "create_endpoint_config",
    "put_alarms",
    "suspend_scaling",
    "deploy_endpoint",
    "scale_endpoint",
    "resume_scaling",
    "deploy_function",
    "reserve_concurrency",
    "invoke_version",
    "move_alias",
    "provision_concurrency",
    "function_url",
    "smoke_test",
    "rollback",
    "clean_up",
    "report",
]


@pytest.fixture(scope="module")
def dag_bag() -> DagBag:
    return DagBag(str(REPOSITORY / "dags"))


def test_no_file_has_an_import_error(dag_bag: DagBag) -> None:
    assert dag_bag.import_errors == {}


def test_each_project_has_its_dags(dag_bag: DagBag) -> None:
    projects, _ = read_projects()
    assert {project.name for project in projects} >= {"dog_breeds", "sample"}
    assert set(dag_bag.dags) == {f"{p.name}.{kind}" for p in projects for kind in KINDS}


def test_each_dag_says_what_it_is_and_whose(dag_bag: DagBag) -> None:
    for dag in dag_bag.dags.values():
        project = dag.dag_id.partition(".")[0]
        assert dag.description, dag.dag_id
        assert dag.doc_md, dag.dag_id
        assert {"image-classifier", project} <= dag.tags
        assert (dag.max_active_runs, dag.catchup) == (1, False)
        for task in dag.tasks:
            assert task.owner == "machine-learning", task
            assert task.retries >= 1, task


@pytest.mark.parametrize("project", ["dog_breeds", "sample"])
def test_the_list_shows_the_main_dag_first_and_marks_the_destructive_one(
    dag_bag: DagBag, project: str
) -> None:
    dags = sorted((dag_bag.dags[f"{project}.{kind}"] for kind in KINDS), key=lambda dag: dag.dag_display_name)
    assert all(dag.dag_display_name.startswith(f"{project}: ") for dag in dags)
    assert dags[0].dag_id == f"{project}.train_and_deploy"
    tagged = {tag: [dag.dag_id for dag in dags if tag in dag.tags] for tag in ("main", "destructive")}
    assert tagged == {"main": [f"{project}.train_and_deploy"], "destructive": [f"{project}.teardown"]}


def test_each_task_lies_on_the_way_through_its_dag(dag_bag: DagBag) -> None:
    for dag in dag_bag.dags.values():
        roots = {task.task_id for task in dag.roots}
        assert len(roots) == 1, dag.dag_id
        reached = {
            task.task_id for root in dag.roots for task in root.get_flat_relatives(upstream=False)
        } | roots
        assert reached == set(dag.task_ids)


@pytest.mark.parametrize("project", ["dog_breeds", "sample"])
def test_every_step_is_there(dag_bag: DagBag, project: str) -> None:
    assert set(dag_bag.dags[f"{project}.train_and_deploy"].task_ids) == set(STEPS)


def test_the_run_ends_failed_where_the_release_was_rolled_back(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["sample.train_and_deploy"]
    # A run's state is that of its leaves: the report must be one, and must not run after a failure.
    assert {task.task_id for task in dag.leaves} == {"report", "rollback"}
    assert dag.get_task("report").trigger_rule == "none_failed"
    assert dag.get_task("rollback").trigger_rule == "one_failed"
    assert dag.get_task("rollback").upstream_task_ids >= {"deploy_endpoint", "move_alias", "smoke_test"}


def test_the_form_offers_what_the_gate_allows_as_the_project_has_it(dag_bag: DagBag) -> None:
    for project in read_projects()[0]:
        params = dag_bag.dags[f"{project.name}.train_and_deploy"].params
        offered = {key: params[key] for key in ALLOWANCES}
        assert offered == {key: getattr(project.gate, key) for key in ALLOWANCES}


@pytest.mark.parametrize("kind", ["train_and_deploy", "rollback"])
def test_a_version_of_the_function_is_invoked_after_the_model_serves_and_before_its_alias_moves(
    dag_bag: DagBag, kind: str
) -> None:
    dag = dag_bag.dags[f"sample.{kind}"]
    before = {task.task_id for task in dag.get_task("invoke_version").get_flat_relatives(upstream=True)}
    assert {"deploy_endpoint", "deploy_function"} & set(dag.task_ids) <= before
    assert dag.get_task("move_alias").upstream_task_ids == {"invoke_version"}
    undo = dag.get_task("rollback" if kind == "train_and_deploy" else "undo")
    assert "invoke_version" in undo.upstream_task_ids


def test_a_release_whose_clean_up_failed_is_not_rolled_back(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["sample.train_and_deploy"]
    assert dag.get_task("clean_up").upstream_task_ids == {"smoke_test"}
    assert "clean_up" not in dag.get_task("rollback").upstream_task_ids


def test_approval_goes_on_where_nobody_was_asked_and_not_where_the_gate_let_nothing_pass(
    dag_bag: DagBag,
) -> None:
    task = dag_bag.dags["sample.train_and_deploy"].get_task("record_approval")
    # One of the two must have succeeded: the gate has, where nobody was asked.
    assert task.upstream_task_ids == {"gate", "approve"}
    assert task.trigger_rule == "none_failed_min_one_success"
    assert task.downstream_task_ids == {"create_model"}


def test_scaling_rests_while_the_endpoint_is_updated(dag_bag: DagBag) -> None:
    for project_dag in ("sample.train_and_deploy", "sample.rollback"):
        dag = dag_bag.dags[project_dag]
        before, after = (dag.get_task(f"{what}_scaling") for what in ("suspend", "resume"))
        assert "deploy_endpoint" in before.downstream_task_ids
        assert "deploy_endpoint" in after.get_flat_relative_ids(upstream=True)


def test_a_rollback_on_demand_ends_failed_where_it_was_undone(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["sample.rollback"]
    assert {task.task_id for task in dag.leaves} == {"report", "undo"}
    assert dag.get_task("undo").trigger_rule == "one_failed"


@pytest.mark.parametrize(
    ("version", "is_allowed"), [("", True), ("7", True), ("previous", True), ("0", False), ("latest", False)]
)
def test_a_rollback_takes_a_number_or_previous(dag_bag: DagBag, version: str, is_allowed: bool) -> None:
    param = dag_bag.dags["sample.rollback"].params.get_param("version")
    if is_allowed:
        assert param.resolve(version) == version
    else:
        with pytest.raises(ParamValidationError):
            param.resolve(version)


def test_waiting_for_jobs_and_endpoints_holds_no_worker(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["dog_breeds.train_and_deploy"]
    for task_id in ("features", "tune", "train", "train_on_ec2", "evaluate", "deploy_endpoint"):
        assert dag.get_task(task_id).deferrable, task_id


def test_one_of_two_places_trains_and_the_evaluation_takes_either(dag_bag: DagBag) -> None:
    dag = dag_bag.dags["sample.train_and_deploy"]
    assert dag.get_task("choose_place").downstream_task_ids == {"train", "prepare_ec2"}
    assert dag.get_task("prepare_ec2").downstream_task_ids == {"train_on_ec2"}
    evaluate = dag.get_task("evaluate")
    assert evaluate.upstream_task_ids == {"train", "train_on_ec2"}
    assert evaluate.trigger_rule == "none_failed_min_one_success"


def test_the_evaluation_links_to_its_job_and_to_its_report(dag_bag: DagBag) -> None:
    task = dag_bag.dags["sample.train_and_deploy"].get_task("evaluate")
    assert [link.name for link in task.operator_extra_links] == [
        "Amazon SageMaker Job",
        "Amazon SageMaker Job Logs",
        "Evaluation report",
    ]


def test_the_tuning_links_to_its_trials(dag_bag: DagBag) -> None:
    task = dag_bag.dags["sample.train_and_deploy"].get_task("tune")
    assert [link.name for link in task.operator_extra_links][-1] == "Tuning report"


def test_the_form_offers_typed_parameters_with_the_projects_defaults(dag_bag: DagBag) -> None:
    params = dag_bag.dags["dog_breeds.train_and_deploy"].params
    assert params["dataset"].endswith("dogImages.zip")
    assert (params["instance_count"], params["retrain"], params["require_approval"]) == (1, False, False)
    assert params["train_on"] == "sagemaker"
    assert params.get_param("train_on").schema["enum"] == ["sagemaker", "ec2"]
    assert params.get_param("instance_count").schema["type"] == "integer"


def test_parsing_imports_nothing_heavy_and_reaches_for_no_network() -> None:
    script = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('a DAG file reached for the network')\n"
        "import airflow.providers.amazon.aws.hooks.base_aws\n"
        "socket.socket.connect = refuse\n"
        "import importlib.util\n"
        "calls = 0\n"
        "def count(frame, event, argument):\n"
        "    global calls\n"
        "    calls += event == 'call'\n"
        "sys.setprofile(count)\n"
        "for path in sys.argv[1:]:\n"
        "    spec = importlib.util.spec_from_file_location('dag_file', path)\n"
        "    spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "sys.setprofile(None)\n"
        "print(calls)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    files = sorted(str(path) for path in (REPOSITORY / "dags").glob("*.py"))
    done = subprocess.run(
        [sys.executable, "-c", script, *files],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'plugins'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    calls, heavy = done.stdout.splitlines()[-2:]
    assert heavy == "[]"
    # Calls and not seconds, which depend on the machine. 709,000 were measured.
    assert int(calls) < 1_000_000


def with_projects(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DagBag:
    """The DAGs of the project files in another folder."""
    monkeypatch.setattr("include.pipeline.project_files.read_projects.__defaults__", (folder,))
    return DagBag(str(REPOSITORY / "dags"))


def test_adding_a_file_adds_its_dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fish.yaml").write_text("name: fish\ndescription: Tells fish apart.\n")
    assert set(with_projects(tmp_path, monkeypatch).dags) == {f"fish.{kind}" for kind in KINDS}


def test_training_all_layers_needs_no_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fish.yaml").write_text("name: fish\ndescription: x\nclassifier:\n  train_layers: all\n")
    dag = with_projects(tmp_path, monkeypatch).dags["fish.train_and_deploy"]
    assert "features" not in dag.task_ids
    assert [task.task_id for task in dag.roots] == ["preflight"]


# What the tasks before tuning have returned, as far as the requests of tuning and training need it.
RETURNED = {
    "preflight": {},
    "stage_data": {"uri": "s3://bucket/fish/data/f"},
    "stage_weights": {"uri": "s3://bucket/fish/pretrained/p"},
    "package_code": {"uri": "s3://bucket/fish/code/c/sourcedir.tar.gz"},
    "features": {"output": "s3://bucket/fish/features/fish-features-1"},
    "tune": {"hyperparameters": {"learning_rate": "0.01", "batch_size": "32"}},
    "prepare_ec2": {
        "image": "ami-1",
        "image_parameter": "/aws/service/deeplearning/ami/x86_64/any",
        "root_device": "/dev/sda1",
        "security_group": "sg-1",
    },
}


@pytest.mark.parametrize(
    ("classifier", "tuning", "training"),
    [
        ("train_layers: head", {"features", "pretrained"}, {"features", "pretrained"}),
        ("train_layers: last_2", {"training", "pretrained"}, {"training", "pretrained"}),
        (
            "int8_max_accuracy_drop: 0.01",
            {"features", "pretrained"},
            {"features", "training", "pretrained"},
        ),
    ],
    ids=["head", "last blocks", "8-bit integers"],
)
def test_jobs_get_the_inputs_that_they_train_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    classifier: str,
    tuning: set[str],
    training: set[str],
) -> None:
    (tmp_path / "fish.yaml").write_text(f"name: fish\ndescription: x\nclassifier:\n  {classifier}\n")
    dag = with_projects(tmp_path, monkeypatch).dags["fish.train_and_deploy"]
    context = {
        "ti": task_instance(RETURNED),
        "params": {"retrain": False, "instance_count": 1},
    }
    tune, train, on_ec2 = (
        dag.get_task(task_id).config(context, None) for task_id in ("tune", "train", "train_on_ec2")
    )
    job_on_ec2 = json.loads(shlex.split(on_ec2["Commands"][-1])[-1])
    for job, expected in (
        (tune["TrainingJobDefinition"], tuning),
        (train, training),
        (job_on_ec2, training),
    ):
        assert {channel["ChannelName"] for channel in job["InputDataConfig"]} == expected


def test_a_broken_project_file_shows_as_an_import_error_and_hides_no_other_dag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "birds.yaml").write_text("name: birds\ndescription: x\ntrainning: {}\n")
    (tmp_path / "fish.yaml").write_text("name: fish\ndescription: Tells fish apart.\n")
    bag = with_projects(tmp_path, monkeypatch)
    assert [Path(path).name for path in bag.import_errors] == ["project_files.py"]
    assert "birds.yaml: trainning is not a known key; allowed: name, description" in next(
        iter(bag.import_errors.values())
    )
    assert set(bag.dags) == {f"fish.{kind}" for kind in KINDS}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("data: {source: ''}", id="no source"),
        pytest.param("data: {source: 's3://', watch_seconds: 60}", id="watched source without a bucket"),
        pytest.param("schedule: 61 * * * *", id="minute 61"),
        pytest.param(f"data: {'[' * 3000}{']' * 3000}", id="nested too deep"),
        pytest.param("deadline_minutes: .inf", id="infinite deadline"),
    ],
)
def test_whatever_is_wrong_with_a_project_file_the_dags_of_the_others_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "birds.yaml").write_text(f"name: birds\ndescription: x\n{text}\n")
    (tmp_path / "fish.yaml").write_text("name: fish\ndescription: Tells fish apart.\n")
    bag = with_projects(tmp_path, monkeypatch)
    assert [Path(path).name for path in bag.import_errors] == ["project_files.py"]
    assert "SettingsError: birds.yaml" in next(iter(bag.import_errors.values()))
    assert set(bag.dags) == {f"fish.{kind}" for kind in KINDS}


@pytest.mark.parametrize("place", ["begins", "ends"])
def test_a_dag_that_cant_be_built_is_an_import_error_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name in ("birds", "fish"):
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\ndescription: x\n")

    def stumble(project: Project, *_: Any) -> Any:
        if project.name == "birds":
            raise OverflowError("too large\nfor anything")

    # The one is called before the DAG has a task, the other by the last of them.
    monkeypatch.setattr(
        *{
            "begins": ("pipeline_steps.alerts.on_failure", stumble),
            "ends": ("include.pipeline.names.function_name", stumble),
        }[place]
    )
    bag = with_projects(tmp_path, monkeypatch)
    assert [Path(path).name for path in bag.import_errors] == ["project_files.py"]
    text = next(iter(bag.import_errors.values()))
    assert "birds.yaml: the DAG birds.train_and_deploy can't be built: OverflowError: too large.\n" in text
    assert "fish" not in text
    assert "birds.train_and_deploy" not in bag.dags
    assert set(bag.dags) >= {f"fish.{kind}" for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_task_of_each_dag_refuses_a_conf_that_no_param_takes(
    dag_bag: DagBag, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dag = dag_bag.dags[f"sample.{kind}"]
    (first,) = dag.roots
    context = {"dag": dag, "dag_run": SimpleNamespace(conf={"no_such_param": 1}), "params": dag.params}
    monkeypatch.setitem(names_of(first.python_callable), "get_current_context", lambda: context)
    # No AWS answers here: it is refused before any is asked.
    with pytest.raises(RunConfError, match="'no_such_param' is not a param of this DAG"):
        first.python_callable()
    assert issubclass(RunConfError, PermanentError)


@pytest.mark.parametrize(
    ("cron", "watched"), [(None, False), ("@weekly", False), (None, True), ("0 5 * * 1", True)]
)
def test_new_images_start_a_run_and_what_starts_by_itself_waits_for_a_person(
    cron: str | None, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "dags"))
    data = {"source": "s3://photos/birds.zip", "watch_seconds": 300 if watched else None}
    project = Project.model_validate({"name": "birds", "description": "d", "schedule": cron, "data": data})
    dag = importlib.import_module("train_and_deploy").build(project)
    timetable = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
    (asset,) = [asset for _, asset in timetable.asset_condition.iter_assets()]
    assert asset.name == "birds.data"
    assert [watcher.trigger["kwargs"]["bucket_name"] for watcher in asset.watchers] == ["photos"] * watched
    assert isinstance(timetable, AssetOrTimeSchedule) == (cron is not None)
    assert dag.is_paused_upon_creation == (cron is not None or watched)


@pytest.mark.parametrize(
    ("wanted", "live", "reason"),
    [
        pytest.param(False, None, "neither the project nor this run requires it", id="not wanted"),
        pytest.param(True, None, None, id="first release"),
        pytest.param(True, "another", None, id="another model is live"),
        pytest.param(True, "the same", "is live already", id="the same model is live"),
    ],
)
def test_a_person_is_asked_about_a_new_model_where_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: bool, live: str | None, reason: str | None
) -> None:
    project = Project(name="birds", description="d")
    returned = RETURNED | {"train": {"artifact": "s3://bucket/model.tar.gz"}, "check_for_changes": "i"}
    context: Any = {"ti": task_instance(returned), "params": {"require_approval": wanted}}
    done = PipelineResults(context)
    name = done.model(project)["ModelName"] if live == "the same" else live
    monkeypatch.setattr(PipelineResults, "live_now", lambda self, project: live and live_release(model=name))
    found = done.reason_not_to_ask(project)
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("params", "live", "passes"),
    [
        pytest.param({}, "another", False, id="nobody is asked"),
        pytest.param({"allow_incomparable": True}, "another", False, id="something else is allowed"),
        pytest.param({"allow_removed_classes": True}, "another", True, id="allowed by the form"),
        pytest.param({"require_approval": True}, "another", True, id="a person is asked"),
        pytest.param({}, "the same", True, id="it is live already"),
    ],
)
def test_a_candidate_that_lacks_classes_passes_the_gate_only_if_a_person_says_so(
    dag_bag: DagBag, monkeypatch: pytest.MonkeyPatch, params: dict[str, bool], live: str, passes: bool
) -> None:
    returned = RETURNED | {
        "train": {"artifact": "s3://bucket/model.tar.gz"},
        "check_for_changes": "i",
        "evaluate": {"output": "s3://bucket/evaluation"},
        "register": {"arn": "arn", "version": 1, "approval_status": "PendingManualApproval"},
    }
    context: Any = {
        "ti": task_instance(returned),
        "dag_run": SimpleNamespace(run_type="manual"),
        "run_id": "run",
        "params": {"require_approval": False, **dict.fromkeys(ALLOWANCES, False), **params},
    }
    done = PipelineResults(context)
    sample = next(project for project in read_projects()[0] if project.name == "sample")
    name = done.model(sample)["ModelName"] if live == "the same" else live
    monkeypatch.setattr(PipelineResults, "live_now", lambda self, project: live_release(model=name))
    evaluation = {
        "images": 75,
        "classes": ["rare"],
        "candidate": {"accuracy": 0.9, "accuracy_interval": [0.8, 0.95], "size_bytes": 1},
        "live": {"incomparable": "Other classes.", "classes": ["beagle"]},
    }
    judged: list[Any] = []
    shown: list[Any] = []
    monkeypatch.setattr("pipeline_steps.review.PipelineResults", lambda: done)
    monkeypatch.setattr("pipeline_steps.review.aws_client", lambda service: service)
    monkeypatch.setattr(
        "include.pipeline.gate.read_evaluation", lambda uri, s3: Evaluation.model_validate(evaluation)
    )
    monkeypatch.setattr("include.pipeline.registry.judge", lambda *judgment: judged.append(judgment))
    monkeypatch.setattr(
        "include.pipeline.evaluation_report.update", lambda *where, **verdict: shown.append(verdict)
    )
    compare = dag_bag.dags["sample.train_and_deploy"].get_task("gate").python_callable
    found = compare()
    assert shown == [{"version": 1, "accepted": found["accepted"], "verdict": found["reason"]}]
    [(_, decision, _, _)] = judged
    assert found["accepted"] is decision.accepted is passes
    assert passes or re.search(r"lacks .* classes: beagle", found["reason"])
