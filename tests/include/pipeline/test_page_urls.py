"""Airflow serves the pages of projects, and no other objects."""

from __future__ import annotations

import pytest

from include.pipeline.page_urls import content_type, page_url, workspace_url


@pytest.mark.parametrize(
    ("base_url", "uri", "expected"),
    [
        pytest.param(
            "http://127.0.0.1:8080",
            "s3://bucket/sample/runs/manual__2026-01-01T00-00-00-00-00/report.html",
            "http://127.0.0.1:8080/projects/sample/reports/runs/manual__2026-01-01T00-00-00-00-00/report.html",
            id="a run",
        ),
        pytest.param(
            "https://example.com/airflow/",
            "s3://bucket/dog_breeds/evaluate/dog-breeds-evaluate-1/report.html",
            "https://example.com/airflow/projects/dog_breeds/reports/evaluate/dog-breeds-evaluate-1/report.html",
            id="Airflow below a path",
        ),
        pytest.param(
            "http://localhost:8080",
            "s3://bucket/sample/runs/probe-größer/report.html",
            "http://localhost:8080/projects/sample/reports/runs/probe-gr%C3%B6%C3%9Fer/report.html",
            id="a run with letters of any language",
        ),
    ],
)
def test_a_page_has_a_url_at_airflow(base_url: str, uri: str, expected: str) -> None:
    assert page_url(uri, base_url) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/sample/training/sample-train-1/output/model.tar.gz",
        "s3://bucket/sample/data/0123456789ab/train/001.circle/circle_000.png",
        "s3://bucket/sample/data/0123456789ab/manifest.json",
        "s3://bucket/sample/runs/manual/summary.json",
        "s3://bucket/sample/runs/report.html",
        "s3://bucket/Sample/runs/manual/report.html",
        "s3://bucket/report.html",
        "s3://bucket",
        "https://example.com/sample/runs/manual/report.html",
    ],
)
def test_other_objects_have_no_url(uri: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        page_url(uri, "http://localhost:8080")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/manual/report.html", "text/html; charset=utf-8"),
        ("runs/manual/pictures/star.jpg", "image/jpeg"),
        ("data/0123456789ab/pictures/0.webp", "image/webp"),
        ("evaluate/job/pictures/confusion.svg", "image/svg+xml"),
        ("tuning/job/trials.html", "text/html; charset=utf-8"),
        ("runs/.begins-with-a-dot/report.html", "text/html; charset=utf-8"),
        ("runs/../report.html", None),
        ("runs/./report.html", None),
        ("runs//report.html", None),
        ("runs/manual/pictures/../report.html", None),
        ("runs/manual/pictures/..png", None),
        ("runs/manual/star.png", None),
        ("runs/manual/report.html\n", None),
        ("runs/manual/report.html/", None),
        ("runs/manual/report.HTML", None),
        ("runs/manual%2Freport.html", None),
        ("code/manual/report.html", None),
        ("", None),
    ],
)
def test_only_pages_and_their_pictures_have_a_content_type(path: str, expected: str | None) -> None:
    assert content_type(path) == expected


def test_a_workspace_has_a_url_at_airflow() -> None:
    assert (
        workspace_url("sample", "http://127.0.0.1:8080/") == "http://127.0.0.1:8080/projects/sample/workspace"
    )
