"""A run's conf: only params of the DAG, with values of their types."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.run_conf import RunConfError, check

SCHEMAS: dict[str, dict[str, Any]] = {
    "dataset": {"type": "string"},
    "instance_count": {"type": "integer"},
    "require_approval": {"type": "boolean"},
    "retrain": {"enum": [False, True]},
    "max_cost_usd": {"type": ["null", "number"]},
}


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        pytest.param(
            {"require_aproval": True},
            "'require_aproval' is not a param of this DAG. Did you mean require_approval? Start a run with these "
            "params only: dataset, instance_count, require_approval, retrain, max_cost_usd.",
            id="typo",
        ),
        pytest.param(
            {"zzz": 1},
            "'zzz' is not a param of this DAG. Start a run with these params only: dataset, instance_count, "
            "require_approval, retrain, max_cost_usd.",
            id="unlike any",
        ),
        pytest.param(
            {"instance_count": 2.0},
            "instance_count is 2.0, which does not have the type integer. Start a run with a value such as 2.",
            id="float for an integer",
        ),
        pytest.param({"instance_count": True}, "instance_count is True", id="boolean for an integer"),
        pytest.param({"require_approval": 1}, "a value such as true", id="number for a boolean"),
        pytest.param({"retrain": 1}, "does not have the type boolean", id="number for a switch"),
        pytest.param({"retrain": None}, "does not have the type boolean", id="nothing for a switch"),
        pytest.param({"max_cost_usd": "5"}, "does not have the type null or number", id="text for a number"),
        pytest.param({"max_cost_usd": True}, "a value such as 1.5", id="boolean for a number"),
        pytest.param({"dataset": None}, "dataset is None", id="nothing for a text"),
        pytest.param({"\ud800": 1}, r"'\ud800' is not a param", id="lone surrogate"),
    ],
)
def test_an_invalid_conf_is_refused_with_a_message(conf: dict[str, Any], message: str) -> None:
    with pytest.raises(RunConfError) as error:
        check(conf, SCHEMAS)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "conf",
    [
        None,
        {},
        {"dataset": "generated", "instance_count": 2, "require_approval": False, "retrain": True},
        {"max_cost_usd": None},
        {"max_cost_usd": 5},
        {"max_cost_usd": 0.5},
    ],
)
def test_a_conf_from_the_form_is_accepted(conf: dict[str, Any] | None) -> None:
    check(conf, SCHEMAS)
