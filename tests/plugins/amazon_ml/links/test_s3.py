"""The links to pages in S3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from amazon_ml.links.s3 import DataReportLink, EvaluationReportLink, RunReportLink


def persisted(uri: str | None, endpoint_url: str | None = None) -> dict[str, Any]:
    pushed: dict[str, Any] = {}
    task_instance = SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value}))
    context: Any = {"ti": task_instance, "task": SimpleNamespace(do_xcom_push=True)}
    client = boto3.client("s3", region_name="eu-west-1", endpoint_url=endpoint_url)
    DataReportLink.persist_page(context, uri, client)
    return pushed


class TestDataReportLink:
    @pytest.mark.parametrize(
        ("endpoint_url", "expected"),
        [
            (
                None,
                "https://console.aws.amazon.com/s3/object/bucket?region=eu-west-1&prefix=birds/a%20b/report.html",
            ),
            ("http://127.0.0.1:5566", "http://127.0.0.1:5566/bucket/birds/a%20b/report.html"),
        ],
    )
    def test_the_page_is_in_the_console_or_at_the_endpoint(
        self, endpoint_url: str | None, expected: str
    ) -> None:
        pushed = persisted("s3://bucket/birds/a b/report.html", endpoint_url)
        assert DataReportLink().format_link(**pushed["data_report"]) == expected

    def test_without_a_page_there_is_no_link(self) -> None:
        assert persisted(None) == {}
        assert DataReportLink().format_link() == ""


def test_each_report_has_its_own_link() -> None:
    links = (DataReportLink, EvaluationReportLink, RunReportLink)
    assert len({link.key for link in links}) == len({link.name for link in links}) == len(links)
