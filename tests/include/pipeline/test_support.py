"""What AWS still patches, and the messages before and after it stops."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from include.pipeline import job_requests, support, workspace
from include.pipeline.images import container_images
from include.pipeline.project_files import PROJECTS_FOLDER, load_project
from include.pipeline.support import SupportError, Used

TODAY = date(2026, 11, 30)
OLD_INFERENCE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312"


def used(days: int | None) -> Used:
    """Return something that AWS patches for this number of days."""
    until = None if days is None else TODAY + timedelta(days=days)
    return Used(what="the image x", until=until, source="https://docs.example", instead="Use y.")


@pytest.mark.parametrize("days", [None, 61, 400])
def test_a_distant_or_unpublished_end_gives_no_warning(days: int | None) -> None:
    assert support.check([used(days)], TODAY, allow_unpatched=False) == []


@pytest.mark.parametrize("days", [0, 1, 60])
def test_an_end_within_sixty_days_is_a_warning_with_a_remedy(days: int) -> None:
    (sentence,) = support.check([used(days)], TODAY, allow_unpatched=False)
    until = TODAY + timedelta(days=days)
    assert sentence == (
        f"AWS stops patching the image x on {until}, in {days} days (https://docs.example). Use y."
    )


def test_an_ended_image_is_refused_unless_the_project_file_allows_it() -> None:
    message = r"AWS has not patched the image x since 2026-11-29 .*Use y\. .*set allow_unpatched to true"
    with pytest.raises(SupportError, match=message):
        support.check([used(-1), used(30)], TODAY, allow_unpatched=False)
    ended, ending = support.check([used(30), used(-1)], TODAY, allow_unpatched=True)
    assert "has not patched" in ended
    assert "stops patching" in ending


def test_a_run_uses_only_what_aws_patches_on_the_day_the_table_was_checked() -> None:
    project = load_project(PROJECTS_FOLDER / "sample.yaml")
    checked = support.table().checked
    for region in ("us-east-1", "cn-north-1"):
        found = job_requests.patched(container_images(project, region), "sagemaker")
        assert [item.what for item in found][-1] == "Lambda's runtime python3.12"
        assert len(found) == 3  # the images of tuning, training and processing are the same one
        assert support.check(found, checked, allow_unpatched=False) == []
    platform = support.notebook_used(workspace.PLATFORM)
    assert support.check([platform], checked, allow_unpatched=False) == []


def test_the_image_of_an_earlier_release_has_ended() -> None:
    found = support.image_used(OLD_INFERENCE, "inference")
    assert found is not None
    with pytest.raises(SupportError, match=r"inference image pytorch-inference:2\.6\.0 since 2026-06-30"):
        support.check([found], TODAY, allow_unpatched=False)


@pytest.mark.parametrize("uri", ["i", "1.dkr.ecr.us-east-1.amazonaws.com/my/image:1", f"{OLD_INFERENCE}-x"])
def test_an_image_that_is_not_in_the_table_is_not_checked(uri: str) -> None:
    assert support.image_used(uri, "inference") is None


def test_a_digest_does_not_hide_an_image() -> None:
    assert support.image_of(f"{OLD_INFERENCE}@sha256:{'0' * 64}") == support.image_of(OLD_INFERENCE)


def test_each_name_that_the_product_uses_is_in_the_table() -> None:
    table = support.table()
    assert job_requests.FUNCTION_RUNTIME in table.lambda_runtimes.ends
    assert workspace.PLATFORM in table.notebook_platforms.ends
