"""What the pages that are put to S3 have in common: one file each, without scripts."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from include.pipeline.names import split_s3_uri

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "td,th{padding:.3rem .8rem;border-bottom:1px solid #8886;text-align:left;vertical-align:top}"
)


def page(title: str, body: str, style: str = "") -> str:
    """A whole HTML page; the body is HTML already."""
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style>{body}</html>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of plain text; without a row of heads if all are empty."""
    header = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in head) if any(head) else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{f'<tr>{header}</tr>' if header else ''}{body}</table>"


def put_page(text: str, uri: str, s3: Any) -> str:
    """Put a page to S3, and return its address."""
    bucket, key = split_s3_uri(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), ContentType="text/html; charset=utf-8")
    return uri
