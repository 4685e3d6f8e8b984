"""What the Resource Groups Tagging API and STS answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


@pytest.mark.row("ST1")
def test_the_caller_is_told_who_it_is(client: Callable[[str], Any]) -> None:
    assert client("sts").get_caller_identity().keys() >= {"Account", "Arn", "UserId"}


@pytest.mark.row("TG1")
def test_the_last_page_has_an_empty_token(client: Callable[[str], Any], unique: str) -> None:
    answer = client("resourcegroupstaggingapi").get_resources(
        TagFilters=[{"Key": "project", "Values": [unique]}]
    )
    assert (answer["PaginationToken"], answer["ResourceTagMappingList"]) == ("", [])
