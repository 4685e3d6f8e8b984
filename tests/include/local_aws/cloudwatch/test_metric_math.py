"""Arithmetic of metrics."""

import pytest

from include.local_aws.cloudwatch.metric_math import evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("100 * errors / calls", 25.0),
        ("(errors + 1) * -2", -4.0),
        ("calls - errors / 2", 3.5),
        ("errors / none", None),
        ("none + 1", None),
        ("errors / zero", None),
        ("FILL(none, 0)", 0.0),
        ("FILL(errors / zero, 7)", 7.0),
        ("FILL(errors, 7)", 1.0),
        ("IF(calls >= 4, errors, 0)", 1.0),
        ("IF(calls > 4, none, 9)", 9.0),
        ("IF(calls == 4, none, 9)", None),
        ("IF(none > 0, 1, 2)", None),
    ],
)
def test_an_expression_is_computed_unless_data_is_missing(expression: str, value: float | None) -> None:
    assert evaluate(expression, {"errors": 1.0, "calls": 4.0, "none": None, "zero": 0.0}) == value


@pytest.mark.parametrize(
    "expression",
    [
        "SUM(METRICS())",
        "unknown + 1",
        "errors ** 9",
        "__import__('os')",
        "errors if 1 else 2",
        "FILL(errors)",
        "IF(1, 2)",
        "(",
    ],
)
def test_anything_else_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match="is not understood"):
        evaluate(expression, {"errors": 1.0})
