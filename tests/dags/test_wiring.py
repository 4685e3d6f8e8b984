"""What the tasks hand to the code that copes with AWS's refusals."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from pipeline_steps.results import PipelineResults

from include.pipeline import (
    alarms,
    concurrency_quota,
    ec2_launch,
    infrastructure,
    known_good,
    live,
    log_retention,
    names,
    quotas,
    registry,
    rollback,
    scaling,
)
from include.pipeline.infrastructure import Infrastructure
from include.pipeline.results import Scaling
from tests.dags.finished_tasks import StateStore, good_release, names_of, task_instance

REPOSITORY = Path(__file__).parents[2]
RELEASES = ("train_and_deploy", "rollback")
PROJECT = """
name: fish
description: |
  Tells fish apart.
function:
  provisioned_concurrency: 2
  reserved_concurrency: 5
"""
IMAGES = {"tuning": "i:1", "training": "i:1", "processing": "i:1", "inference": "i:2"}
SCALING = {"min_capacity": 1, "max_capacity": 2, "suspended": {}, "policies": {}, "scheduled": {}}
FOUND = Scaling.model_validate(SCALING)
RETURNED: dict[str, Any] = {
    "create_endpoint_config": "fish-config-2",
    "create_model": "fish-model-2",
    "choose_version": {"version": 1},
    "record_approval": {"model": "fish-model-2"},
    "register": {"arn": "arn:candidate", "version": 2},
    "read_live": {"serving": None, "good": None, "scaling": SCALING},
}


class AwsClient:
    """A client of any service, which only says where it is."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.meta = SimpleNamespace(region_name="us-east-1")

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": "123456789012"}


class Dags:
    """The DAGs of one project, whose tasks are run with AWS replaced."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch
        (folder / "fish.yaml").write_text(PROJECT)
        patch.setattr("include.pipeline.project_files.read_projects.__defaults__", (folder,))
        self.found = DagBag(str(REPOSITORY / "dags")).dags

    def task(self, kind: str, task_id: str) -> Any:
        return self.found[f"fish.{kind}"].get_task(task_id)

    def run(self, kind: str, task_id: str, **returned: Any) -> Any:
        """Run a task of Python code after others have returned, and return what it returns."""
        context = {
            "ti": task_instance(RETURNED | returned),
            "task_state_store": StateStore(),
            "dag": self.found[f"fish.{kind}"],
            "dag_run": SimpleNamespace(run_id="run", run_type="manual", conf={}),
            "params": {"train_on": "sagemaker", "instance_count": 1},
            "run_id": "run",
        }
        self.patch.setattr(
            "airflow.sdk.definitions._internal.contextmanager._get_current_context", lambda: context
        )
        function = self.task(kind, task_id).python_callable
        self.patch.setitem(names_of(function), "aws_client", AwsClient)
        return function()


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dags:
    return Dags(tmp_path, monkeypatch)


@pytest.fixture
def own_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dags:
    """The DAGs of a project with a serving image of its own."""
    monkeypatch.setitem(globals(), "PROJECT", f"{PROJECT}endpoint:\n  image: own\n")
    return Dags(tmp_path, monkeypatch)


def test_the_serving_image_is_looked_up_before_the_first_job(own_image: Dags) -> None:
    image, weights = (own_image.task("train_and_deploy", name) for name in ("serving_image", "stage_weights"))
    assert image.upstream_task_ids == weights.upstream_task_ids == {"check_for_changes"}
    assert image.downstream_task_ids == weights.downstream_task_ids


def test_only_a_project_with_an_own_image_has_the_step(dags: Dags) -> None:
    assert "serving_image" not in dags.found["fish.train_and_deploy"].task_ids


def test_a_model_names_the_image_that_was_looked_up() -> None:
    environment = {
        **{"bucket": "b", "sagemaker_role": "r", "function_role": "r", "region": "us-east-1", "account": "1"},
        "images": {**IMAGES, "inference": "own"},
    }
    found = {"uri": "repository@sha256:0a"}

    def image(**returned: Any) -> str:
        return PipelineResults({"ti": task_instance(returned)}).environment.images.inference  # type: ignore[typeddict-item]

    assert image(preflight=environment) == "own"
    assert image(preflight=environment, serving_image=found) == "repository@sha256:0a"
    assert image(preflight={**environment, "images": IMAGES}, serving_image=found) == "i:2"


class TestPreflight:
    @pytest.fixture(autouse=True)
    def account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An account that has all that runs need."""
        self.stack = Infrastructure(
            bucket="bucket",
            sagemaker_role="role",
            function_role="role",
            version=infrastructure.NEEDED_VERSION,
        )
        monkeypatch.setattr(infrastructure, "read_infrastructure", lambda client: self.stack)
        monkeypatch.setattr("include.pipeline.images.container_images", lambda project, region: IMAGES)
        monkeypatch.setattr(concurrency_quota, "check", lambda project, client: None)
        monkeypatch.setattr(quotas, "check", lambda project, train_on, count, client: None)

    def test_it_passes_where_the_account_has_all(self, dags: Dags) -> None:
        assert dags.run("train_and_deploy", "preflight")["account"] == "123456789012"

    @pytest.mark.parametrize(
        ("module", "service"), [(concurrency_quota, "lambda"), (quotas, "service-quotas")]
    )
    def test_a_quota_that_is_too_small_ends_the_run(
        self, dags: Dags, monkeypatch: pytest.MonkeyPatch, module: Any, service: str
    ) -> None:
        def check(project: Any, *arguments: Any) -> None:
            raise ValueError(f"{project.name} {arguments[-1].service}")

        monkeypatch.setattr(module, "check", check)
        with pytest.raises(ValueError, match=f"fish {service}"):
            dags.run("train_and_deploy", "preflight")

    def test_a_stack_that_cannot_build_the_own_image_ends_the_run(self, own_image: Dags) -> None:
        with pytest.raises(infrastructure.InfrastructureError, match="ServingImage=true"):
            own_image.run("train_and_deploy", "preflight")

    def test_an_old_stack_ends_the_run(self, dags: Dags) -> None:
        self.stack = self.stack.model_copy(update={"version": infrastructure.NEEDED_VERSION - 1})
        with pytest.raises(infrastructure.OldStackError):
            dags.run("train_and_deploy", "preflight")


@pytest.mark.parametrize("kind", RELEASES)
def test_scaling_that_an_earlier_try_took_away_is_not_forgotten(
    dags: Dags, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(scaling, "suspend", lambda *_: None)
    assert dags.run(kind, "suspend_scaling") == SCALING


@pytest.mark.parametrize("kind", RELEASES)
def test_scaling_is_suspended_for_the_configuration_that_follows_and_resumed(
    dags: Dags, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(scaling, "suspend", lambda project, config, *_: calls.append(config) or FOUND)
    monkeypatch.setattr(scaling, "resume", lambda project, before, client: calls.append(before))
    suspended = dags.run(kind, "suspend_scaling")
    dags.run(kind, "resume_scaling", suspend_scaling=suspended)
    assert calls == ["fish-config-2", FOUND]


@pytest.mark.parametrize(("kind", "task_id"), [("train_and_deploy", "rollback"), ("rollback", "undo")])
def test_a_release_is_taken_back_with_the_scaling_that_it_had_taken_away(
    dags: Dags, monkeypatch: pytest.MonkeyPatch, kind: str, task_id: str
) -> None:
    """Another release is good by now, and the scalable target was deregistered for it."""
    good = good_release(endpoint_config="fish-config-1", model="fish-model-1")
    restored: list[Any] = []

    def roll_back(project: Any, before: Any, scaling_before: Any, *_: Any) -> str:
        restored.append((before, scaling_before))
        return "It is taken back."

    function = dags.task(kind, task_id).python_callable
    monkeypatch.setitem(names_of(function), "failures", lambda context: {"deploy_endpoint": "Unhealthy"})
    monkeypatch.setattr(known_good, "read", lambda *_: good)
    monkeypatch.setattr(scaling, "read", lambda *_: None)
    monkeypatch.setattr(rollback, "roll_back", roll_back)
    monkeypatch.setattr(registry, "set_approval", lambda *_: None)
    monkeypatch.setattr(registry, "packages", lambda *_: [])
    monkeypatch.setattr(
        "pipeline_steps.results.PipelineResults.model", lambda self, project: {"ModelName": "fish-model-2"}
    )
    monkeypatch.setattr("pipeline_steps.results.PipelineResults.superseded", lambda self, project: None)
    monkeypatch.setattr("include.pipeline.releases.expected_before", lambda *_: None)
    monkeypatch.setattr("include.pipeline.smoke_test.run_smoke_test", lambda *_: {})
    dags.run(
        kind,
        task_id,
        suspend_scaling=SCALING,
        stage_data={"uri": "s3://bucket/fish/data/f"},
        gate={},
    )
    assert restored == [(good, FOUND)]


def test_less_is_provisioned_before_less_is_reserved(dags: Dags) -> None:
    reserve = dags.task("train_and_deploy", "reserve_concurrency")
    assert reserve.reserved_concurrent_executions == 5
    assert reserve.provisioned_concurrent_executions == {names.ALIAS: 2}


def test_a_description_in_several_lines_is_registered_in_one(dags: Dags) -> None:
    register = dags.task("train_and_deploy", "register")
    assert (register.package_desc, register.package_group_desc) == ("Tells fish apart.", "Tells fish apart.")


class TestLogs:
    """The retention of a log group is set before anything can write to it."""

    @pytest.fixture(autouse=True)
    def order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []

        def limit(project: Any, group: str, logs: Any) -> None:
            self.done.append(f"{logs.service} {project.name} {group}")

        monkeypatch.setattr(log_retention, "limit", limit)

    def test_that_of_the_endpoint(self, dags: Dags, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alarms, "put_alarms", lambda *_: [])
        monkeypatch.setattr(alarms, "put_release_alarms", lambda *_: ["alarm"])
        monkeypatch.setattr(live, "config_beside", lambda *_: None)
        monkeypatch.setattr("pipeline_steps.results.PipelineResults.environment", SimpleNamespace(topic=None))
        dags.run("train_and_deploy", "put_alarms")
        assert self.done == ["logs fish /aws/sagemaker/Endpoints/fish"]
        deploy_endpoint = dags.task("train_and_deploy", "deploy_endpoint")
        assert "put_alarms" in deploy_endpoint.get_flat_relative_ids(upstream=True)

    def test_that_of_the_function(self, dags: Dags, monkeypatch: pytest.MonkeyPatch) -> None:
        limit = dags.task("train_and_deploy", "deploy_function")._pre_execute_hook  # noqa: SLF001
        monkeypatch.setitem(names_of(limit), "aws_client", AwsClient)
        limit({})
        assert self.done == ["logs fish /aws/lambda/fish"]

    def test_that_of_trainings_on_ec2(self, dags: Dags, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ec2_launch, "find", lambda *_: None)
        dags.run("train_and_deploy", "prepare_ec2")
        assert self.done == ["logs fish /image-classifier/training/fish"]
        assert "prepare_ec2" in dags.task("train_and_deploy", "train_on_ec2").upstream_task_ids
