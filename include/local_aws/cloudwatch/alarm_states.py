"""The state of an alarm: from the values of its last periods, and its rule for those without data."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass

OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"

COMPARISONS = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
"""The comparisons of alarms that do not learn their threshold, and how a sentence words them."""

_EXTRA_PERIODS = 2
"""CloudWatch looks at more periods than it evaluates; in its documentation's example at five for three."""


@dataclass(frozen=True)
class Rule:
    """When an alarm is in alarm: ``to_alarm`` of the last ``periods`` values compare so with the threshold."""

    comparison: str
    threshold: float
    periods: int
    to_alarm: int
    missing: str
    """What a period without data counts as: breaching, notBreaching, ignore or missing."""

    @property
    def evaluation_range(self) -> int:
        """The number of periods to look at."""
        return self.periods + _EXTRA_PERIODS


def evaluate(rule: Rule, values: Sequence[float | None], current: str) -> tuple[str, str]:
    """Return an alarm's state and the reason for it.

    As AWS documents under "Configuring how CloudWatch alarms treat missing data": where the evaluation range
    has enough values, its missing ones do not matter; else the rule for them decides.

    :param values: those of the evaluation range, the oldest first; None where a period has no data
    :param current: the state it has now
    """
    known = [value for value in values if value is not None][-rule.periods :]
    unknown = rule.periods - len(known)
    compare, words = COMPARISONS[rule.comparison]
    breaching = sum(bool(compare(value, rule.threshold)) for value in known)
    undecided = not known or (breaching == len(known) and breaching < rule.to_alarm)
    if unknown and undecided and rule.missing == "ignore":
        state = current
    elif unknown and not known and rule.missing == "missing":
        state = INSUFFICIENT_DATA
    elif unknown and known and undecided and rule.missing == "missing":
        state = ALARM
    else:
        counted = breaching + (unknown if rule.missing == "breaching" else 0)
        state = ALARM if counted >= rule.to_alarm else OK
    if not known:
        return state, f"No data for the last {rule.periods} period(s), which counts as {rule.missing}."
    listed = ", ".join(f"{value:g}" for value in known)
    return state, (
        f"Threshold Crossed: {breaching} of the last {len(known)} datapoint(s) [{listed}] are {words} the "
        f"threshold ({rule.threshold:g}), {unknown} missing as {rule.missing}; "
        f"{rule.to_alarm} of {rule.periods} raise the alarm."
    )
