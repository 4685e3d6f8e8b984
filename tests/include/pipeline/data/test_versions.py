"""What changed between two versions of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from include.pipeline.data.manifest import read_manifest
from include.pipeline.data.staging import stage
from include.pipeline.data.versions import changes
from include.pipeline.settings import Project

from .conftest import jpeg

BEFORE = {"train/cat/1": "c1", "train/cat/2": "c2", "train/dog/1": "d1", "test/dog/2": "d2"}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(BEFORE, [], id="nothing"),
        pytest.param({**BEFORE, "train/dog/3": "d3"}, ["1 image added: 1 of dog."], id="added"),
        pytest.param(
            {**BEFORE, "train/cat/2": "x"},
            ["1 image added: 1 of cat.", "1 image removed: 1 of cat."],
            id="other",
        ),
        pytest.param(
            {"train/dog/0": "c1", **{path: sha for path, sha in BEFORE.items() if sha != "c1"}},
            ["1 image moved to another class: 1 from cat to dog."],
            id="another class",
        ),
        pytest.param(
            {"train/cat/1": "c1", "valid/cat/2": "c2", "train/dog/1": "d1", "test/dog/2": "d2"},
            ["1 image moved to another split: 1 from train to valid."],
            id="another split",
        ),
        pytest.param(
            {"train/felis/1": "c1", "train/felis/2": "c2", "train/dog/1": "d1", "test/dog/2": "d2"},
            ["The class cat is now called felis."],
            id="renamed",
        ),
        pytest.param(
            {"train/pet/1": "c1", "train/pet/2": "c2", "train/pet/3": "d1", "test/pet/2": "d2"},
            ["4 images moved to another class: 2 from cat to pet, 2 from dog to pet."],
            id="merged",
        ),
        pytest.param(
            {**BEFORE, "train/cat/copy": "c1"}, ["1 image with another number of copies."], id="copies"
        ),
        pytest.param(
            {path.replace("/1", "/9"): sha for path, sha in BEFORE.items()}, [], id="names of files"
        ),
    ],
)
def test_what_changed_is_said(now: dict[str, str], expected: list[str]) -> None:
    assert changes(BEFORE.items(), now.items()) == expected


def test_a_staged_version_is_compared_with_the_one_before(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Callable[[dict[str, bytes]], str]
) -> None:
    first = stage(project, zipped(good_files), "bucket", s3)
    assert first.changes == []
    lines: list[str] = []
    second = stage(
        project,
        zipped({**good_files, "train/002.Wren/new.jpg": jpeg(100)}),
        "bucket",
        s3,
        progress=lines.append,
    )
    assert second.changes[0].startswith(f"Compared with the version before, {first.fingerprint} of ")
    assert second.changes[1:] == ["1 image added: 1 of 002.Wren."]
    assert set(second.changes) <= set(lines)
    assert read_manifest(second.uri, s3).changes == second.changes
    page = s3.get_object(Bucket="bucket", Key=second.report.removeprefix("s3://bucket/"))["Body"].read()
    assert b"1 image added: 1 of 002.Wren." in page


def test_manifests_of_earlier_versions_are_read(
    project: Project, s3: Any, good_files: dict[str, bytes], zipped: Callable[[dict[str, bytes]], str]
) -> None:
    """The first manifests did not have changes, ignored files, and the splits of excluded images."""
    first = stage(project, zipped(good_files), "bucket", s3)
    location = {"Bucket": "bucket", "Key": first.uri.removeprefix("s3://bucket/") + "/manifest.json"}
    manifest = json.load(s3.get_object(**location)["Body"])
    for key in ("reading", "changes", "ignored"):
        del manifest[key]
    manifest["set_aside"] = [{"path": "train/001.Robin/a.jpg", "reason": "it is empty"}]
    s3.put_object(**location, Body=json.dumps(manifest))
    second = stage(project, zipped({**good_files, "train/002.Wren/new.jpg": jpeg(100)}), "bucket", s3)
    assert second.changes[1:] == ["1 image added: 1 of 002.Wren."]
    assert (second.sent, second.copied) == (1, 6)
