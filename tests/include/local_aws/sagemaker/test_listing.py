"""Pages and orders of lists where a request asks for none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.local_aws.config import Config
from include.local_aws.sagemaker.documents import (
    ENDPOINT,
    NOTEBOOK_INSTANCE,
    TRAINING_JOB,
    TUNING_JOB,
    Documents,
    Kind,
)
from include.local_aws.sagemaker.listing import list_documents


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(Config(tmp_path))


def make(documents: Documents, kind: Kind, *names: str) -> None:
    for name in names:
        documents.create(kind, {kind.name_member: name}, **{kind.status_member: "InProgress"})


def listed(documents: Documents, kind: Kind, **request: Any) -> list[str]:
    answer = list_documents(documents, kind, request)
    [items] = [value for value in answer.values() if isinstance(value, list)]
    return [item[kind.name_member] for item in items]


def test_a_page_has_ten_items_and_the_token_of_the_next(documents: Documents) -> None:
    names = [f"n{number:02d}" for number in range(11)]
    make(documents, TUNING_JOB, *names)
    first = list_documents(documents, TUNING_JOB, {})
    assert [job["HyperParameterTuningJobName"] for job in first["HyperParameterTuningJobSummaries"]] == names[
        :10
    ]
    assert listed(documents, TUNING_JOB, NextToken=first["NextToken"]) == names[10:]
    assert listed(documents, TUNING_JOB, MaxResults=100) == names


@pytest.mark.parametrize(
    ("kind", "order"),
    [
        (TUNING_JOB, ["a", "b", "c"]),
        (NOTEBOOK_INSTANCE, ["a", "b", "c"]),
        (TRAINING_JOB, ["b", "c", "a"]),
        (ENDPOINT, ["a", "c", "b"]),
    ],
)
def test_the_order_is_that_which_aws_documents_for_the_kind(
    documents: Documents, kind: Kind, order: list[str]
) -> None:
    make(documents, kind, "b", "c", "a")
    assert listed(documents, kind) == order


def test_what_was_changed_last_can_be_asked_for(documents: Documents) -> None:
    make(documents, NOTEBOOK_INSTANCE, "a", "b")
    documents.update(documents.get(NOTEBOOK_INSTANCE, "a"))
    assert listed(documents, NOTEBOOK_INSTANCE, SortBy="LastModifiedTime") == ["b", "a"]
