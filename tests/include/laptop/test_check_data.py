"""``make check``: what the pipeline would say of a data set, without a stack."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from include.laptop import check_data
from tests.include.pipeline.data.conftest import jpeg


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A data set of five classes in splits, with litter, a note and a file that is no image."""
    root = tmp_path / "photos"
    for number, folder in enumerate(
        f"{split}/{label}" for split in ("train", "val", "test") for label in "abcde"
    ):
        (root / folder).mkdir(parents=True)
        for n in range(12):
            (root / folder / f"{n}.jpg").write_bytes(jpeg(100 * number + n))
    (root / "train/a/.DS_Store").write_bytes(b"x")
    (root / "train/a/notes.xyz").write_bytes(b"x")
    (root / "train/a/text.jpg").write_bytes(b"text")
    return root


def run(dataset: str, folder: Path, *, as_json: bool = True) -> tuple[int, str, str]:
    """Return the exit status, standard output and standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        consoles = Console(file=out, width=1000), Console(file=err, width=1000)
        status = check_data.run("sample", dataset, as_json, folder / "checks", *consoles)
    return status, out.getvalue(), err.getvalue()


def test_json_alone_is_printed_and_holds_all_that_was_found(images: Path, tmp_path: Path) -> None:
    status, out, _ = run(str(images), tmp_path)
    found = json.loads(out)
    assert (status, found["usable"], found["classes"], found["used"]) == (0, True, list("abcde"), 180)
    assert found["splits"] == {split: dict.fromkeys("abcde", 12) for split in ("train", "valid", "test")}
    assert [one["path"] for one in found["excluded"]] == ["train/a/text.jpg"]
    assert {one["path"] for one in found["ignored"]} == {"train/a/.DS_Store", "train/a/notes.xyz"}
    assert [one["check"] for one in found["findings"]] == ["set_aside", "ignored_files"]
    assert found["layout"]["pattern"] == "{split}/{class}"
    assert len(found["layout"]["tree"]) <= 10
    assert "How the folders were read" in Path(found["report"]).read_text()


def test_people_read_counts_reasons_and_the_verdict(images: Path, tmp_path: Path) -> None:
    status, out, _ = run(str(images), tmp_path, as_json=False)
    assert status == 0
    assert [line.split() for line in out.splitlines() if line.startswith(" a ")] == [
        ["a", "12", "12", "12", "1", "2"]
    ]
    assert "Ignored: 1 because .xyz is not the ending of an image; the first is train/a/notes.xyz" in out
    assert "Files found: 183, of which 180 are used, 1 excluded and 2 ignored." in out
    assert "The data set can be used." in out


@pytest.mark.parametrize(
    ("files", "status", "check"),
    [
        pytest.param(["a/x/1.jpg", "a/y/1.jpg", "b/z/1.jpg", "b/w/1.jpg"], 1, "layout", id="two readings"),
        pytest.param(["a/1.jpg"], 1, "classes", id="one class"),
        pytest.param(["../1.jpg"], 2, "source", id="hostile"),
        pytest.param(None, 2, "source", id="missing"),
    ],
)
def test_the_status_tells_what_is_wrong(
    files: list[str] | None, status: int, check: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    if files:
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(files):
                archive.writestr(name, jpeg(number))
    answered, out, _ = run(str(path), tmp_path)
    found: dict[str, Any] = json.loads(out)
    assert (answered, found["usable"]) == (status, False)
    assert check in [one["check"] for one in found["findings"] if one["level"] == "error"]
    assert {"classes", "splits", "used", "excluded", "ignored", "findings", "layout"} <= set(found)
