"""What SNS answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def sns(client: Callable[[str], Any]) -> Any:
    return client("sns")


@pytest.fixture
def topic(sns: Any, unique: str) -> Iterator[str]:
    """The ARN of a topic of the test's own."""
    arn = sns.create_topic(Name=unique)["TopicArn"]
    yield arn
    sns.delete_topic(TopicArn=arn)


@pytest.mark.row("SN1")
def test_an_unknown_topic_is_not_found(sns: Any, topic: str, refused: Any) -> None:
    with refused("NotFound", "Topic does not exist", 404):
        sns.publish(TopicArn=f"{topic}-unknown", Message="x")


@pytest.mark.row("SN2")
@pytest.mark.parametrize(
    "subject", ["", "x" * 101, "two\nlines"], ids=["empty", "more than 100 characters", "with a line break"]
)
def test_a_subject_that_is_none_is_refused(sns: Any, topic: str, refused: Any, subject: str) -> None:
    with refused("InvalidParameter", "Invalid parameter: Subject"):
        sns.publish(TopicArn=topic, Message="x", Subject=subject)


@pytest.mark.row("SN2")
def test_a_message_of_more_than_256_kb_is_refused(sns: Any, topic: str, refused: Any) -> None:
    sns.publish(TopicArn=topic, Message="x" * 262_144, Subject="x" * 100)
    with refused("InvalidParameter", "Invalid parameter: Message too long"):
        sns.publish(TopicArn=topic, Message="x" * 262_145)
