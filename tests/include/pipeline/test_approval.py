"""The question for approval, and how the answer is read."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.approval import ApprovalError, candidate, question, read_answer
from include.pipeline.names import digest
from include.pipeline.results import Candidate, Evaluation, RegisteredVersion, UserAnswer
from include.pipeline.settings import Approval

ABOUT = Candidate(model="birds-model-1", package="arn:birds/3", version=3, evaluation="0123456789ab")
FIGURES = {
    "accuracy": 0.91,
    "accuracy_interval": [0.8, 0.97],
    "macro_f1": 0.9,
    "milliseconds_p95": 41.4,
    "size_bytes": 16_300_000,
}


def answered(option: str, user: str | None) -> UserAnswer:
    return UserAnswer.model_validate(
        {
            "chosen_options": [option],
            "responded_by_user": user and {"id": "1", "name": user},
            "responded_at": "2026-11-24T20:00:00+00:00",
            "about": ABOUT.model_dump(),
        }
    )


def evaluated(**members: Any) -> Evaluation:
    return Evaluation.model_validate({"images": 75, "candidate": FIGURES, **members})


def test_the_question_compares_champion_and_challenger_and_links_to_the_report() -> None:
    evaluation = evaluated(live={**FIGURES, "accuracy": 0.85, "accuracy_interval": [0.7, 0.9]})
    text = question(
        evaluation, "The candidate is as good or better.", ABOUT, "https://example.com/report.html"
    )
    assert text.startswith(
        "The candidate is as good or better.\n\nTest images: 75\n\n| | Champion (live) | Challenger |\n"
    )
    assert "| Accuracy | 0.850 | 0.910 |" in text
    assert "| 95% interval of the accuracy | 0.700 to 0.900 | 0.800 to 0.970 |" in text
    assert "| Latency, 95th percentile | 41.4 ms | 41.4 ms |" in text
    assert "| Size of model.tar.gz | 16.3 MB | 16.3 MB |" in text
    assert "Challenger: version 3, birds-model-1, evaluation 0123456789ab." in text
    assert text.endswith("(https://example.com/report.html)")


@pytest.mark.parametrize("live", [None, {"incomparable": "Other classes."}], ids=["first", "incomparable"])
def test_without_a_comparable_champion_its_metrics_are_empty(live: Any) -> None:
    text = question(evaluated(live=live), "", ABOUT, "https://example.com")
    assert "| Accuracy | \N{EN DASH} | 0.910 |" in text
    assert "| 95% interval of the accuracy | \N{EN DASH} | 0.800 to 0.970 |" in text


def test_all_removed_and_new_classes_are_listed_with_their_exact_names() -> None:
    ours, theirs = [f"new {number}" for number in range(12)], ["*beagle*", "<b>", "_owl_", "a_b"]
    live = {"incomparable": "Other classes.", "classes": theirs}
    evaluation = evaluated(classes=ours, live=live)
    paragraphs = question(evaluation, "It lacks *beagle*.", ABOUT, "https://example.com").split("\n\n")
    assert paragraphs[0] == r"It lacks \*beagle\*."
    assert paragraphs[2] == r"Removed classes: \*beagle\*, \<b\>, \_owl\_, a_b"
    assert paragraphs[3] == f"New classes: {', '.join(ours)}"


@pytest.mark.parametrize(
    ("response", "approved", "sentence"),
    [
        pytest.param(
            answered("Approve", "anna"), True, "Approved by anna at 2026-11-24T20:00:00+00:00.", id="approved"
        ),
        pytest.param(
            answered("Reject", "anna"), False, "Rejected by anna at 2026-11-24T20:00:00+00:00.", id="rejected"
        ),
        pytest.param(answered("Reject", None), False, "Rejected: no answer within 1.5 hours", id="timed out"),
    ],
)
def test_an_answer_has_the_user_and_the_time(response: UserAnswer, approved: bool, sentence: str) -> None:
    answer = read_answer(response, ABOUT, Approval(timeout_hours=1.5))
    assert answer is not None
    assert answer.approved is approved
    assert answer.sentence.startswith(sentence)


def test_without_a_question_there_is_no_answer() -> None:
    assert read_answer(None, ABOUT, Approval()) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"evaluation": "ba9876543210"}, id="new metrics"),
        pytest.param({"package": "arn:birds/4", "version": 4}, id="another candidate"),
        pytest.param({"model": "birds-model-2"}, id="another model in the package"),
    ],
)
def test_an_answer_about_another_candidate_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ApprovalError, match=r"The answer is about version 3 .* Clear the task approve"):
        read_answer(answered("Approve", "anna"), ABOUT.model_copy(update=changed), Approval())


def test_a_candidate_with_other_metrics_is_a_different_one() -> None:
    package = RegisteredVersion(arn="arn:birds/3", version=3, approval_status="Approved")
    one = candidate("birds-model-1", package, evaluated())
    assert one == candidate("birds-model-1", package, evaluated(candidate=dict(FIGURES)))
    assert one != candidate("birds-model-1", package, evaluated(candidate={**FIGURES, "accuracy": 0.92}))


def test_the_digest_of_an_evaluation_is_that_of_its_file() -> None:
    """A question that was asked before an upgrade stays valid."""
    package = RegisteredVersion(arn="arn:birds/3", version=3, approval_status="Approved")
    worst = {"class": "a", "recall": 0.5, "images": 2, "mistaken_for": {"b": 1}}
    members = {"images": 75, "candidate": {**FIGURES, "ece": 0.1, "worst_classes": [worst]}, "live": None}
    about = candidate("birds-model-1", package, Evaluation.model_validate(members))
    assert about.evaluation == digest(members)
