"""Validate a cron expression without importing Airflow."""

from __future__ import annotations

from datetime import datetime

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
"""The presets of Airflow."""


def check_schedule(expression: str) -> str:
    """Return the expression if Airflow can compute its next run.

    :raises ValueError: if it is not a cron expression of five fields, or no date matches it.
    """
    from croniter import CroniterBadDateError, croniter  # the library that Airflow uses; few projects need it

    cron = PRESETS.get(expression, expression)
    allowed = f"must be a cron expression of five fields, such as '0 5 * * 1', or one of {', '.join(PRESETS)}"
    # croniter also accepts fields for seconds and years, other presets, and R and H for random values.
    if len(cron.split()) != 5 or "R" in cron.upper().split():
        raise ValueError(allowed)
    try:
        croniter(cron, datetime(2026, 1, 1)).get_next()
    except CroniterBadDateError:
        raise ValueError("must match a date, but no date matches it") from None
    except (ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{allowed}: {error}") from None
    return expression
