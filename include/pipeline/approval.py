"""The approval of a candidate: the question to a person, and the meaning of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from include.classifier.image_classifier.metric_table import METRICS, Metric
from include.pipeline.errors import PermanentError
from include.pipeline.names import digest
from include.pipeline.results import Candidate, Evaluation, ModelFigures, RegisteredVersion, UserAnswer
from include.pipeline.settings import Approval

NONE = "\N{EN DASH}"
APPROVE, REJECT = "Approve", "Reject"


class ApprovalError(PermanentError):
    """Raised if an answer is about another candidate; the message says what to do."""


@dataclass(frozen=True)
class Answer:
    """The answer of a person, with a sentence that says who answered and when."""

    approved: bool
    sentence: str


def candidate(model: str, package: RegisteredVersion, evaluation: Evaluation) -> Candidate:
    """Return what a person decides about."""
    return Candidate(
        model=model,
        package=package.arn,
        version=package.version,
        evaluation=digest(evaluation.model_dump(mode="json", exclude_unset=True)),
    )


def question(evaluation: Evaluation, decision: str, about: Candidate, report: str) -> str:
    """Return the comparison of champion and challenger in Markdown.

    :param decision: the reason of the gate.
    :param report: the URL of the evaluation's page.
    """
    candidate, live = evaluation.candidate, evaluation.compared
    rows = [
        f"| {metric.title} | {_figure(live, metric)} | {_figure(candidate, metric)} |" for metric in METRICS
    ]
    rows.insert(1, f"| 95% interval of the accuracy | {_interval(live)} | {_interval(candidate)} |")
    table = "\n".join(["| | Champion (live) | Challenger |", "|---|---|---|", *rows])
    removed, added = evaluation.class_changes
    paragraphs = [
        _literal(decision),
        f"Test images: {evaluation.images}",
        *([f"Removed classes: {_literal(', '.join(removed))}"] if removed else []),
        *([f"New classes: {_literal(', '.join(added))}"] if added else []),
        table,
        f"Challenger: version {about.version}, {about.model}, evaluation {about.evaluation}. "
        f"[Evaluation report]({report})",
    ]
    return "\n\n".join(paragraphs)


def read_answer(response: UserAnswer | None, about: Candidate, approval: Approval) -> Answer | None:
    """Return the meaning of the answer; None if approval was not required.

    :param response: the result of the task ``approve``.
    :param about: the candidate.
    :raises ApprovalError: if the question was about another candidate.
    """
    if response is None:
        return None
    if response.about != about:
        asked = response.about
        what = f"version {asked.version} with evaluation {asked.evaluation}" if asked else "no candidate"
        raise ApprovalError(
            f"The answer is about {what}, but the candidate is version {about.version} with evaluation "
            f"{about.evaluation}. Clear the task approve to ask again."
        )
    user = response.responded_by_user
    if user is None:  # the question has timed out, and Airflow has chosen the default
        return Answer(
            False,
            f"Rejected: no answer within {approval.timeout_hours:g} hours (approval.timeout_hours).",
        )
    approved = response.chosen_options == [APPROVE]
    verb = "Approved" if approved else "Rejected"
    return Answer(approved, f"{verb} by {user.name} at {response.responded_at}.")


def _figure(model: ModelFigures | None, metric: Metric) -> str:
    value = model.metrics.get(metric.key) if model else None
    return NONE if value is None else metric.text(value)


def _interval(model: ModelFigures | None) -> str:
    interval = model.accuracy_interval if model else None
    return NONE if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _literal(text: str) -> str:
    """Escape Markdown syntax, because class names may contain any character."""
    return re.sub(r"[\\`*<>\[\]|~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)
