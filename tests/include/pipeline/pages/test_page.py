"""Common parts of all pages: number formats, locations and links."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from include.pipeline.pages import page
from include.pipeline.pages.documents import Run
from include.pipeline.settings import Project


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0.003162277660168379", "0.00316"),
        ('"32"', "32"),
        ("128", "128"),
        (0.1, "0.1"),
        ("1e-7", "1e-07"),
        ("1000000", "1000000"),
        ("cosine", "cosine"),
    ],
)
def test_a_hyperparameter_has_sensible_digits(value: Any, text: str) -> None:
    assert page.setting(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "\N{EN DASH}"),
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (133, "2 min 13 s"),
        (3840, "1 h 4 min"),
    ],
)
def test_a_duration_has_two_units(seconds: float | None, text: str) -> None:
    assert page.duration(seconds) == text


def test_a_moment_is_in_utc() -> None:
    there = datetime(2026, 11, 12, 17, 20, tzinfo=timezone(timedelta(hours=1)))
    assert page.moment(there) == "2026-11-12 16:20 UTC"
    assert page.moment(None) == "\N{EN DASH}"


def test_the_folder_of_a_run_needs_no_quoting_in_a_url(project: Project) -> None:
    folder = page.run_folder("bucket", project, "manual__2026-11-12T16:05:10+00:00/ä")
    assert folder == "s3://bucket/birds/runs/manual__2026-11-12T16-05-10-00-00--"


def test_pages_are_linked_relative_to_each_other() -> None:
    run = Run(id="r", url="https://airflow/dags/x/runs/r", started=datetime.now(UTC))
    links = page.navigation(
        "s3://b/birds/runs/r/report.html",
        run,
        Evaluation="s3://b/birds/runs/r/evaluation.html",
        Tuning=None,
        Data_report="s3://b/birds/data/f/report.html",
    )
    assert [(link.text, link.href) for link in links] == [
        ("Evaluation", "evaluation.html"),
        ("Data report", "../../data/f/report.html"),
        ("Run in Airflow", "https://airflow/dags/x/runs/r"),
    ]


def test_only_a_web_page_is_linked_as_the_run() -> None:
    assert page.navigation("s3://b/report.html", Run(id="r", url="javascript:alert(1)")) == []
    assert page.navigation("s3://b/report.html", None) == []


def test_a_page_is_stored_as_html(s3: Any) -> None:
    uri = page.put("<p>ä", "s3://bucket/birds/runs/r/report.html", s3)
    answer = s3.get_object(Bucket="bucket", Key="birds/runs/r/report.html")
    assert uri == "s3://bucket/birds/runs/r/report.html"
    assert answer["ContentType"] == "text/html; charset=utf-8"
    assert answer["Body"].read().decode() == "<p>ä"
