"""Whether a client speaks to AWS, whose console then has a page for what it made."""

from __future__ import annotations

from urllib.parse import urlsplit


def is_aws(endpoint_url: str) -> bool:
    """Whether an address is one of AWS's own."""
    return (urlsplit(endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))
