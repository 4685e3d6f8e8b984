"""The forms of the DAGs: each can be sent as it opens, and what contradicts itself is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError

from include.pipeline import run_conf, teardown
from include.pipeline.results import PlannedResource
from include.pipeline.settings import Project, SettingsError
from include.pipeline.teardown import RefusedError
from tests.dags.finished_tasks import names_of, task_instance

REPOSITORY = Path(__file__).parents[2]
KINDS = ("train_and_deploy", "rollback", "workspace", "teardown")
SWITCHES = [
    ("train_and_deploy", "retrain"),
    ("train_and_deploy", "require_approval"),
    ("train_and_deploy", "allow_removed_classes"),
    ("train_and_deploy", "allow_incomparable"),
    ("teardown", "dry_run"),
    ("teardown", "delete_workspace"),
    ("teardown", "delete_data"),
    ("teardown", "delete_registry"),
    ("teardown", "delete_logs"),
    ("teardown", "delete_infrastructure"),
]
OPTIONAL = [
    ("train_and_deploy", "max_cost_usd", 12.5),
    ("rollback", "version", "7"),
    ("teardown", "confirm", "sample"),
]

every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def forms() -> dict[str, dict[str, Param]]:
    """The params of each DAG of the project ``sample``, by its kind."""
    dags = DagBag(str(REPOSITORY / "dags")).dags
    return {
        kind: {name: dags[f"sample.{kind}"].params.get_param(name) for name in dags[f"sample.{kind}"].params}
        for kind in KINDS
    }


def is_required(param: Param) -> bool:
    """Whether Airflow's form marks a param with an asterisk, and disables the button Trigger while it is empty."""
    kind = param.schema.get("type")
    return bool(kind) and "null" not in kind


@every_kind
def test_a_form_can_be_sent_as_it_opens(forms: Any, kind: str) -> None:
    empty = [name for name, param in forms[kind].items() if is_required(param) and param.value in (None, "")]
    assert empty == []
    values = {name: param.resolve() for name, param in forms[kind].items()}
    run_conf.check(values, {name: param.schema for name, param in forms[kind].items()})


@every_kind
def test_each_field_has_a_title_and_a_line_of_help(forms: Any, kind: str) -> None:
    for name, param in forms[kind].items():
        assert param.schema["title"] != name
        assert param.description
        assert "\n" not in param.description
        assert len(param.description) <= 180


@every_kind
def test_each_choice_is_shown_in_words(forms: Any, kind: str) -> None:
    for param in forms[kind].values():
        if "enum" in param.schema and "type" in param.schema:
            assert list(param.schema["values_display"]) == param.schema["enum"]


def test_the_sections_follow_the_order_of_the_run(forms: Any) -> None:
    sections = [param.schema["section"] for param in forms["train_and_deploy"].values()]
    assert list(dict.fromkeys(sections)) == ["Data", "Training", "Release", "Cost"]


@every_kind
def test_what_a_person_has_to_see_is_in_the_section_that_opens(forms: Any, kind: str) -> None:
    """Airflow opens the section of the fields that name none."""
    opened = {name for name, param in forms[kind].items() if "section" not in param.schema}
    assert (
        opened
        == {
            "train_and_deploy": set(),
            "rollback": {"version"},
            "workspace": {"action"},
            "teardown": {"dry_run", "confirm"},
        }[kind]
    )


def test_every_boolean_is_a_switch(forms: Any) -> None:
    booleans = {
        (kind, name)
        for kind, params in forms.items()
        for name, param in params.items()
        if isinstance(param.value, bool)
    }
    assert booleans == set(SWITCHES)


@pytest.mark.parametrize(("kind", "name"), SWITCHES)
def test_a_switch_has_no_asterisk_and_takes_nothing_but_a_boolean(forms: Any, kind: str, name: str) -> None:
    param = forms[kind][name]
    assert not is_required(param)
    assert [param.resolve(value) for value in (False, True)] == [False, True]
    for value in (None, 0, 1, "true", ""):
        with pytest.raises(ParamValidationError):
            param.resolve(value)
        with pytest.raises(run_conf.RunConfError, match="does not have the type boolean"):
            run_conf.check({name: value}, {name: param.schema})


@pytest.mark.parametrize(("kind", "name", "value"), OPTIONAL)
def test_what_may_be_left_empty_takes_null_and_a_value(forms: Any, kind: str, name: str, value: Any) -> None:
    param = forms[kind][name]
    for allowed in (None, value):
        assert param.resolve(allowed) == allowed
        run_conf.check({name: allowed}, {name: param.schema})
    assert "empty" in param.description


@pytest.mark.parametrize(
    ("name", "refused"), [("instance_count", 0), ("instance_count", 21), ("max_cost_usd", -1)]
)
def test_a_number_out_of_its_range_is_refused(forms: Any, name: str, refused: float) -> None:
    with pytest.raises(ParamValidationError):
        forms["train_and_deploy"][name].resolve(refused)


@pytest.mark.parametrize(
    ("dry_run", "confirm", "sentence"),
    [
        pytest.param(
            False,
            None,
            "Nothing was deleted: Confirm is empty. To delete the resources of sample, type the project's name, "
            "sample, in Confirm. To only list them, switch Dry run on.",
            id="not confirmed",
        ),
        pytest.param(False, "birds", "Confirm is 'birds'. To delete the resources of sample", id="another"),
    ],
)
def test_a_teardown_without_the_projects_name_says_what_to_type(
    monkeypatch: pytest.MonkeyPatch, dry_run: bool, confirm: str | None, sentence: str
) -> None:
    with pytest.raises(RefusedError) as refused:
        confirm_task(monkeypatch, dry_run=dry_run, confirm=confirm)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("confirm", "sentence"),
    [
        pytest.param(None, "To delete, switch Dry run off and type the project's name, sample", id="empty"),
        pytest.param(
            "sample", "Confirm is filled in, but Dry run is on: switch it off to delete", id="typed"
        ),
    ],
)
def test_a_dry_run_deletes_nothing_and_says_how_to_delete(
    monkeypatch: pytest.MonkeyPatch, confirm: str | None, sentence: str
) -> None:
    goes_on, verdict = confirm_task(monkeypatch, dry_run=True, confirm=confirm)
    assert not goes_on
    assert verdict.startswith("Dry run, nothing is deleted")
    assert sentence in verdict


def test_a_confirmed_teardown_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert confirm_task(monkeypatch, dry_run=False, confirm="sample")[0]


def confirm_task(monkeypatch: pytest.MonkeyPatch, **params: Any) -> tuple[bool, str]:
    """Run the function of the teardown's task ``confirm``; returns its result and its verdict."""
    dag = DagBag(str(REPOSITORY / "dags" / "teardown.py")).dags["sample.teardown"]
    task = dag.get_task("confirm")
    ti = task_instance({})
    ti.get_dr_count = lambda dag_id, states: 0
    context = {
        "ti": ti,
        "params": {**dag.params.dump(), **params},
        "dag_run": SimpleNamespace(run_type="manual"),
    }
    monkeypatch.setitem(names_of(task.python_callable), "get_current_context", lambda: context)
    return task.python_callable(), ti.pushed.get("verdict", "")


def test_ec2_with_several_instances_is_refused_with_the_two_ways_out() -> None:
    with pytest.raises(SettingsError, match=r"training instances .* to 1, or train on SageMaker"):
        Project(name="birds", description="d").check_place("ec2", 2)


def test_what_a_teardown_would_do_is_counted() -> None:
    project = Project(name="birds", description="d")
    rows = [
        PlannedResource(what=what, name="n", then=teardown.planned_action(what, teardown.Options()))
        for what in ("job", "endpoint", "data", "infrastructure")
    ]
    sentence = "4 resources of birds exist. A teardown deletes or stops 2 and keeps 2."
    assert teardown.verdict(project, rows, dry_run=True) == f"Dry run, nothing is deleted: {sentence}"
    assert teardown.verdict(project, rows, dry_run=False).endswith("it deletes or stops 2 and keeps 2.")
    assert teardown.verdict(project, [], dry_run=True) == "birds has no resources."
