"""Whether a cron expression can start runs, told without Airflow."""

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
"""Airflow's own."""


def check_schedule(expression: str) -> str:
    """Return the expression, if Airflow can find the next time for it.

    :raises ValueError: if it is no cron expression of five fields, or is never due.
    """
    from croniter import CroniterBadDateError, croniter  # the library that Airflow asks; few projects need it

    cron = PRESETS.get(expression, expression)
    allowed = f"must be a cron expression of five fields, such as '0 5 * * 1', or one of {', '.join(PRESETS)}"
    # croniter also reads fields for seconds and years, presets of its own, and R and H for chance.
    if len(cron.split()) != 5 or "R" in cron.upper().split():
        raise ValueError(allowed)
    try:
        croniter(cron, datetime(2026, 1, 1)).get_next()
    except CroniterBadDateError:
        raise ValueError("must be due some day; no date fits it") from None
    except (ValueError, LookupError, ArithmeticError) as error:
        raise ValueError(f"{allowed}: {error}") from None
    return expression
