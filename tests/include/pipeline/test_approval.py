"""What a person is shown who is asked to approve, and how the answer is read."""

from __future__ import annotations

from typing import Any

import pytest

from include.pipeline.approval import ApprovalError, candidate, question, read_answer
from include.pipeline.settings import Approval

ABOUT = {"model": "birds-model-1", "package": "arn:birds/3", "version": 3, "evaluation": "0123456789ab"}
FIGURES = {
    "accuracy": 0.91,
    "accuracy_interval": [0.8, 0.97],
    "macro_f1": 0.9,
    "milliseconds_p95": 41.4,
    "size_bytes": 16_300_000,
}


def answered(option: str, user: str | None) -> dict[str, Any]:
    return {
        "chosen_options": [option],
        "responded_by_user": user and {"id": "1", "name": user},
        "responded_at": "2026-11-24T20:00:00+00:00",
        "about": ABOUT,
    }


def test_champion_stands_against_challenger_with_a_link_to_the_report() -> None:
    evaluation = {
        "images": 75,
        "candidate": FIGURES,
        "live": {**FIGURES, "accuracy": 0.85, "accuracy_interval": [0.7, 0.9]},
    }
    text = question(
        evaluation, "The candidate is as good or better.", ABOUT, "https://example.com/report.html"
    )
    assert text.startswith(
        "The candidate is as good or better.\n\nTest images: 75\n\n| | Champion (live) | Challenger |\n"
    )
    assert "| Accuracy | 0.8500 | 0.9100 |" in text
    assert "| 95% interval of the accuracy | 0.7000 to 0.9000 | 0.8000 to 0.9700 |" in text
    assert "| One image, 95th percentile | 41 ms | 41 ms |" in text
    assert "| Size of the archive | 16.3 MB | 16.3 MB |" in text
    assert "Challenger: version 3, birds-model-1, evaluation 0123456789ab." in text
    assert text.endswith("(https://example.com/report.html)")


@pytest.mark.parametrize("live", [None, {"incomparable": "Other classes."}], ids=["first", "incomparable"])
def test_where_there_is_no_champion_to_compare_with_its_figures_are_left_open(live: Any) -> None:
    text = question({"images": 75, "candidate": FIGURES, "live": live}, "", ABOUT, "https://example.com")
    assert "| Accuracy | \N{EN DASH} | 0.9100 |" in text
    assert "| 95% interval of the accuracy | \N{EN DASH} | 0.8000 to 0.9700 |" in text


def test_all_removed_and_new_classes_are_named_as_they_are_called() -> None:
    ours, theirs = [f"new {number}" for number in range(12)], ["*beagle*", "<b>", "_owl_", "a_b"]
    live = {"incomparable": "Other classes.", "classes": theirs}
    evaluation = {"images": 75, "classes": ours, "candidate": FIGURES, "live": live}
    paragraphs = question(evaluation, "It lacks *beagle*.", ABOUT, "https://example.com").split("\n\n")
    assert paragraphs[0] == r"It lacks \*beagle\*."
    assert paragraphs[2] == r"Classes that are removed: \*beagle\*, \<b\>, \_owl\_, a_b"
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
        pytest.param(
            answered("Reject", None), False, "Rejected: nobody answered within 1.5 hours", id="timed out"
        ),
    ],
)
def test_an_answer_says_who_and_when(response: dict[str, Any], approved: bool, sentence: str) -> None:
    answer = read_answer(response, ABOUT, Approval(timeout_hours=1.5))
    assert answer is not None
    assert answer.approved is approved
    assert answer.sentence.startswith(sentence)


def test_where_nobody_was_asked_there_is_no_answer() -> None:
    assert read_answer(None, ABOUT, Approval()) is None


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"evaluation": "ba9876543210"}, id="new figures"),
        pytest.param({"package": "arn:birds/4", "version": 4}, id="another candidate"),
        pytest.param({"model": "birds-model-2"}, id="another model in the package"),
    ],
)
def test_an_answer_about_something_else_is_void(changed: dict[str, Any]) -> None:
    with pytest.raises(ApprovalError, match=r"The answer was about version 3 .* Clear the task approve"):
        read_answer(answered("Approve", "anna"), ABOUT | changed, Approval())


def test_a_candidate_with_other_figures_is_another_one() -> None:
    package = {"arn": "arn:birds/3", "version": 3, "approval_status": "Approved"}
    one = candidate("birds-model-1", package, {"candidate": FIGURES})
    assert one == candidate("birds-model-1", package, {"candidate": dict(FIGURES)})
    assert one != candidate("birds-model-1", package, {"candidate": {**FIGURES, "accuracy": 0.92}})
