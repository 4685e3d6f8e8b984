"""The pages of Systems Manager's lists."""

from typing import Any

from include.local_aws.errors import AwsError


def page(
    member: str, items: list[dict[str, Any]], request: dict[str, Any], *, default_size: int = 50
) -> dict[str, Any]:
    """Return the page of items that a request asks for; the token of the next is its position.

    :raises AwsError: for a token that is none
    """
    token = request.get("NextToken", "0")
    if not token.isdecimal():
        raise AwsError("InvalidNextToken", "The specified token isn't valid.")
    start, size = int(token), request.get("MaxResults", default_size)
    answer: dict[str, Any] = {member: items[start : start + size]}
    if start + size < len(items):
        answer["NextToken"] = str(start + size)
    return answer
