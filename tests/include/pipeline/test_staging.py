"""Staging: checked before anything is sent, and never sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.pipeline.dataset import DatasetError
from include.pipeline.settings import Data, Project
from include.pipeline.staging import read_manifest, stage

Zipped = Callable[[dict[str, bytes]], str]


def keys(s3: Any) -> list[str]:
    return [item["Key"] for item in s3.list_objects_v2(Bucket="bucket").get("Contents", [])]


def test_a_data_set_arrives_with_its_manifest(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    result = stage(
        project, zipped({f"photos/{path}": body for path, body in good_files.items()}), "bucket", s3
    )
    prefix = f"birds/data/{result['fingerprint']}"
    assert result["uri"] == f"s3://bucket/{prefix}"
    assert (result["sent"], result["classes"]) == (6, ["001.Robin", "002.Wren"])
    assert sorted(keys(s3)) == sorted(
        [f"{prefix}/manifest.json", *(f"{prefix}/{path}" for path in good_files)]
    )
    for path, content in good_files.items():
        assert s3.get_object(Bucket="bucket", Key=f"{prefix}/{path}")["Body"].read() == content
    manifest = read_manifest(result["uri"], s3)
    assert manifest["counts"] == {"train": 2, "valid": 2, "test": 2}
    assert len(manifest["files"]) == 6


def test_the_same_data_set_is_not_sent_again(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    first = stage(project, zipped(good_files), "bucket", s3)
    second = stage(project, zipped(good_files), "bucket", s3)
    assert second["sent"] == 0
    assert second["uri"] == first["uri"]


def test_what_a_killed_run_sent_is_not_sent_again(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    result = stage(project, zipped(good_files), "bucket", s3)
    prefix = f"birds/data/{result['fingerprint']}"
    for gone in ("manifest.json", "test/002.Wren/test.jpg"):
        s3.delete_object(Bucket="bucket", Key=f"{prefix}/{gone}")
    assert stage(project, zipped(good_files), "bucket", s3)["sent"] == 1
    assert f"{prefix}/manifest.json" in keys(s3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda files: {p: c for p, c in files.items() if not p.startswith("test")},
            "no test split",
            id="no test",
        ),
        pytest.param(
            lambda files: {p: c for p, c in files.items() if p != "valid/002.Wren/valid.jpg"},
            "valid split has no image of 002.Wren",
            id="class missing in a split",
        ),
        pytest.param(lambda files: {**files, "train/003.Owl/": b""}, "no image of 003.Owl", id="empty class"),
        pytest.param(
            lambda files: {**files, "train/001.Robin/a.jpg": b"text", "train/001.Robin/b.jpg": b"text"},
            "a.jpg is named as a JPEG image, but is not an image. 1 more files can't be used either.",
            id="text named as image",
        ),
        pytest.param(lambda files: {**files, "../evil.jpg": b"x"}, "leads outside", id="hostile path"),
    ],
)
def test_a_bad_data_set_is_refused_and_nothing_is_sent(
    project: Project,
    s3: Any,
    good_files: dict[str, bytes],
    zipped: Zipped,
    change: Callable[[dict[str, bytes]], dict[str, bytes]],
    message: str,
) -> None:
    with pytest.raises(DatasetError, match=message):
        stage(project, zipped(change(good_files)), "bucket", s3)
    assert keys(s3) == []


def test_notes_and_thumbnails_beside_the_images_are_passed_over(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Zipped
) -> None:
    extra = {"README.txt": b"x", "train/001.Robin/.DS_Store": b"x", "__MACOSX/train/001.Robin/._1.jpg": b"x"}
    assert stage(project, zipped({**good_files, **extra}), "bucket", s3)["sent"] == 6


def test_the_drawn_pictures_are_a_good_data_set(project: Project, s3: Any) -> None:
    drawn = project.model_copy(update={"data": Data(source="generated", classes=5)})
    result = stage(drawn, "generated", "bucket", s3)
    assert result["counts"] == {"train": 300, "valid": 75, "test": 75}
