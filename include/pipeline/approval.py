"""What a person sees who is asked to approve a candidate, and what the answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.pipeline.gate import MEGABYTE
from include.pipeline.settings import Approval

APPROVE, REJECT = "Approve", "Reject"
FIGURES = (
    ("Accuracy", "accuracy", "{:.4f}", 1),
    ("Top-5 accuracy", "top5_accuracy", "{:.4f}", 1),
    ("Macro F1", "macro_f1", "{:.4f}", 1),
    ("Expected calibration error", "ece", "{:.4f}", 1),
    ("One image, 95th percentile", "milliseconds_p95", "{:.0f} ms", 1),
    ("Size of the archive", "size_bytes", "{:.1f} MB", MEGABYTE),
)
"""What is shown: its name, its key in an evaluation, how it is written, and by what it is divided."""


@dataclass(frozen=True)
class Answer:
    """Whether a person agreed, and one sentence that says who and when."""

    approved: bool
    sentence: str


def question(evaluation: dict[str, Any], decision: str, report: str) -> str:
    """Champion against challenger in Markdown.

    :param evaluation: the content of ``evaluation.json``, which may lack what is large.
    :param decision: what the gate said.
    :param report: the address of the evaluation's page.
    """
    candidate, live = evaluation["candidate"], evaluation.get("live") or {}
    rows = [
        f"| {name} | {_figure(live, key, form, unit)} | {_figure(candidate, key, form, unit)} |"
        for name, key, form, unit in FIGURES
    ]
    table = "\n".join(["| | Champion (live) | Challenger |", "|---|---|---|", *rows])
    return f"{decision}\n\n{table}\n\n[The evaluation's report]({report})"


def read_answer(response: dict[str, Any] | None, approval: Approval) -> Answer | None:
    """What the answer to the question means; None where nobody was asked.

    :param response: what the task that asked returned: ``chosen_options``, ``responded_by_user`` and ``responded_at``.
    """
    if response is None:
        return None
    user = response["responded_by_user"]
    if user is None:  # Airflow took the default, for the time was over
        return Answer(
            False,
            f"Rejected: nobody answered within {approval.timeout_hours:g} hours (approval.timeout_hours).",
        )
    approved = response["chosen_options"] == [APPROVE]
    verb = "Approved" if approved else "Rejected"
    return Answer(approved, f"{verb} by {user['name']} at {response['responded_at']}.")


def _figure(model: dict[str, Any], key: str, form: str, unit: float) -> str:
    return form.format(model[key] / unit) if key in model else "\N{EN DASH}"
