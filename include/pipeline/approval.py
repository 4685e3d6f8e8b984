"""What a person sees who is asked to approve a candidate, and what the answer means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from include.pipeline.errors import PermanentError
from include.pipeline.gate import MEGABYTE, class_changes
from include.pipeline.names import digest
from include.pipeline.settings import Approval

NONE = "\N{EN DASH}"
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


class ApprovalError(PermanentError):
    """An answer that does not decide about the candidate; the message says what to do."""


@dataclass(frozen=True)
class Answer:
    """Whether a person agreed, and one sentence that says who and when."""

    approved: bool
    sentence: str


def candidate(model: str, package: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    """What a person decides about: the model, its package, and the digest of its evaluation.

    :param package: what the task that registered it returned.
    :param evaluation: the content of ``evaluation.json``.
    """
    return {
        "model": model,
        "package": package["arn"],
        "version": package["version"],
        "evaluation": digest(evaluation),
    }


def question(evaluation: dict[str, Any], decision: str, about: dict[str, Any], report: str) -> str:
    """Champion against challenger in Markdown.

    :param evaluation: the content of ``evaluation.json``, which may lack what is large.
    :param decision: what the gate said.
    :param about: see :func:`candidate`.
    :param report: the address of the evaluation's page.
    """
    candidate, live = evaluation["candidate"], evaluation.get("live") or {}
    rows = [
        f"| {name} | {_figure(live, key, form, unit)} | {_figure(candidate, key, form, unit)} |"
        for name, key, form, unit in FIGURES
    ]
    rows.insert(1, f"| 95% interval of the accuracy | {_interval(live)} | {_interval(candidate)} |")
    table = "\n".join(["| | Champion (live) | Challenger |", "|---|---|---|", *rows])
    removed, added = class_changes(evaluation)
    paragraphs = [
        _literal(decision),
        f"Test images: {evaluation['images']}",
        *([f"Classes that are removed: {_literal(', '.join(removed))}"] if removed else []),
        *([f"New classes: {_literal(', '.join(added))}"] if added else []),
        table,
        f"Challenger: version {about['version']}, {about['model']}, evaluation {about['evaluation']}. "
        f"[The evaluation's report]({report})",
    ]
    return "\n\n".join(paragraphs)


def read_answer(response: dict[str, Any] | None, about: dict[str, Any], approval: Approval) -> Answer | None:
    """What the answer to the question means; None where nobody was asked.

    :param response: what the task that asked returned: ``chosen_options``, ``responded_by_user``, ``responded_at`` and
        ``about``.
    :param about: see :func:`candidate`.
    :raises ApprovalError: if the question was about another candidate.
    """
    if response is None:
        return None
    if response["about"] != about:
        asked = response["about"]
        raise ApprovalError(
            f"The answer was about version {asked['version']} with evaluation {asked['evaluation']}; the candidate is "
            f"version {about['version']} with evaluation {about['evaluation']}. Clear the task approve to ask again."
        )
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
    return form.format(model[key] / unit) if key in model else NONE


def _interval(model: dict[str, Any]) -> str:
    return "{:.4f} to {:.4f}".format(*model["accuracy_interval"]) if "accuracy_interval" in model else NONE


def _literal(text: str) -> str:
    """Escape what Markdown would not show as it is: names of classes may hold anything."""
    return re.sub(r"[\\`*<>\[\]|~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
