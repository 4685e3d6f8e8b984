"""An image has one answer: in the data check, training, evaluation, at the endpoint and through the function."""

from __future__ import annotations

import pytest

from . import image_matrix


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str, dict[str, image_matrix.Answer]]]:
    return list(image_matrix.rows())


def test_all_columns_give_an_image_the_same_answer(
    rows: list[tuple[str, str, dict[str, image_matrix.Answer]]],
) -> None:
    assert {kind for kind, _, _ in rows} == set(image_matrix.FORMATS)
    for kind, oddity, answers in rows:
        assert len({one.reason for one in answers.values()}) == 1, (kind, oddity, answers)
        seen = [one.seen for name, one in answers.items() if name != "check"]
        assert all(one == seen[0] for one in seen), (kind, oddity, answers)
        assert (seen[0] is None) == (answers["check"].reason != image_matrix.YES)


def test_an_image_looks_to_the_model_as_the_plain_one_of_its_format(
    rows: list[tuple[str, str, dict[str, image_matrix.Answer]]],
) -> None:
    found = {(kind, oddity): answers["endpoint"].seen for kind, oddity, answers in rows}
    for (kind, oddity), seen in found.items():
        if oddity in ("animated", "3 MB of metadata", "its last two bytes are missing") and seen:
            assert seen == pytest.approx(found[kind, "plain"], abs=0.01), (kind, oddity)
        if oddity == "turned by its EXIF data":
            assert seen != pytest.approx(found[kind, "plain"], abs=0.01), (kind, oddity)


def test_the_page_shows_the_answers(rows: list[tuple[str, str, dict[str, image_matrix.Answer]]]) -> None:
    page = image_matrix.PAGE.read_text()
    assert page[page.index(image_matrix.BEGIN) + len(image_matrix.BEGIN) :] == "\n" + image_matrix.table(rows)
