"""Names: derived from content, and valid for AWS."""

from __future__ import annotations

import pytest

from include.pipeline import names
from include.pipeline.settings import Project


def test_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert names.digest({"a": 1, "b": [2]}) == names.digest({"b": [2], "a": 1})
    assert names.digest({"a": 1}) != names.digest({"a": 2})


def test_a_second_attempt_of_the_longest_tuning_name_fits_sagemakers_limit() -> None:
    longest = Project(name="a" * 16, description="x")
    assert len(names.tuning_job_name(longest, {"any": "request"}, "rerun_token") + "-9") <= 32


def test_a_rerun_token_changes_the_name_of_a_job(project: Project) -> None:
    assert names.job_name(project, "train", {}) != names.job_name(project, "train", {}, "again")


def test_underscores_become_dashes() -> None:
    assert names.endpoint_name(Project(name="dog_breeds", description="x")) == "dog-breeds"


def test_an_s3_uri_is_split() -> None:
    assert names.split_s3_uri("s3://bucket/a/b") == ("bucket", "a/b")


def test_another_uri_is_refused() -> None:
    with pytest.raises(ValueError, match="not an S3 URI"):
        names.split_s3_uri("https://bucket/a")
