"""The state of an alarm; the tables are those of AWS's page on how alarms treat missing data."""

import pytest

from include.local_aws.cloudwatch.alarm_states import ALARM, INSUFFICIENT_DATA, OK, Rule, evaluate

KEPT = "kept"


def values(points: str) -> list[float | None]:
    """The values of a table's row: 0 is within the threshold, X breaches it, - is missing."""
    return [{"0": 0.0, "X": 2.0, "-": None}[point] for point in points.split()]


@pytest.mark.parametrize(
    ("to_alarm", "points", "missing", "ignore", "breaching", "not_breaching"),
    [
        (3, "0 - X - X", OK, OK, OK, OK),
        (3, "- - - - 0", OK, OK, OK, OK),
        (3, "- - - - -", INSUFFICIENT_DATA, KEPT, ALARM, OK),
        (3, "0 X X - X", ALARM, ALARM, ALARM, ALARM),
        (3, "- - X - -", ALARM, KEPT, ALARM, OK),
        (2, "0 - X - X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 0 X 0 X", ALARM, ALARM, ALARM, ALARM),
        (2, "0 - X - -", OK, OK, ALARM, OK),
        (2, "- - - - 0", OK, OK, ALARM, OK),
        (2, "- - - X -", ALARM, KEPT, ALARM, OK),
    ],
)
def test_an_alarm_of_three_periods_treats_missing_ones_as_documented(
    to_alarm: int, points: str, missing: str, ignore: str, breaching: str, not_breaching: str
) -> None:
    states = [
        evaluate(Rule("GreaterThanThreshold", 1.0, 3, to_alarm, rule), values(points), KEPT)[0]
        for rule in ("missing", "ignore", "breaching", "notBreaching")
    ]
    assert states == [missing, ignore, breaching, not_breaching]


@pytest.mark.parametrize(
    ("comparison", "states"),
    [
        ("GreaterThanThreshold", [OK, OK, ALARM]),
        ("GreaterThanOrEqualToThreshold", [OK, ALARM, ALARM]),
        ("LessThanThreshold", [ALARM, OK, OK]),
        ("LessThanOrEqualToThreshold", [ALARM, ALARM, OK]),
    ],
)
def test_a_value_is_compared_as_the_alarm_says(comparison: str, states: list[str]) -> None:
    rule = Rule(comparison, 1.0, 1, 1, "missing")
    assert [evaluate(rule, [value], OK)[0] for value in (0.0, 1.0, 2.0)] == states


def test_the_reason_names_the_values_and_the_threshold() -> None:
    _, reason = evaluate(Rule("GreaterThanThreshold", 1.0, 2, 2, "missing"), [0.0, 3.0, 2.5], OK)
    assert "2 of the last 2 datapoint(s) [3, 2.5] are greater than the threshold (1)" in reason
