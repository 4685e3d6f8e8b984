"""The set-up: what it refuses in a sentence, what it installs, and that it does nothing the second time."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from include.laptop.places import REPOSITORY
from include.laptop.prepare import CannotPrepare, check_disk, check_python

TOO_OLD = sorted((Path.home() / ".pyenv" / "versions").glob("3.[6-9].*/bin/python3"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository, in a folder with a space in its name, that needs one tiny package."""
    folder = tmp_path_factory.mktemp("set up") / "with a space"
    (folder / "include" / "laptop").mkdir(parents=True)
    shutil.copy(REPOSITORY / "include" / "laptop" / "prepare.py", folder / "include" / "laptop")
    shutil.copy(REPOSITORY / "Makefile", folder)
    (folder / "requirements").mkdir()
    (folder / "requirements.txt").write_text("tiny\n")
    (folder / "constraints.txt").write_text("tiny==1.0\n")
    return folder


def setup(repository: Path, packages: Path) -> subprocess.CompletedProcess:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))},
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": packages.as_uri(),
        "PIP_CONFIG_FILE": os.devnull,
    }
    return subprocess.run(
        ["make", "--no-print-directory", "setup", f"PYTHON={sys.executable}"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
    )


def write_wheel(folder: Path) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny.py", "ANSWER = 42\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")


@pytest.mark.skipif(not TOO_OLD, reason="no Python older than 3.10 is installed here with pyenv")
def test_a_python_that_is_too_old_still_reads_the_file_and_says_what_is_needed(repository: Path) -> None:
    fresh = repository.parent / "fresh"
    shutil.copytree(repository, fresh, ignore=shutil.ignore_patterns(".venv"))
    ran = subprocess.run(
        [TOO_OLD[0], fresh / "include" / "laptop" / "prepare.py"], capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "is too old" in ran.stderr
    assert "PYTHON=python3.1" in ran.stderr


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        pytest.param((3, 10, 13), "too old", id="before the first"),
        pytest.param((3, 14, 0), "too new", id="after the last"),
    ],
)
def test_an_unsupported_python_is_refused(version: tuple[int, int, int], verdict: str) -> None:
    with pytest.raises(CannotPrepare, match=verdict):
        check_python(version, "/usr/bin/python3")


def test_every_supported_python_is_accepted() -> None:
    for minor in (11, 12, 13):
        check_python((3, minor, 0), "python3")


def test_too_little_disk_is_refused_with_what_is_missing() -> None:
    with pytest.raises(CannotPrepare, match=r"only 5\.0 GB are free\. Free 2\.0 GB more"):
        check_disk("/somewhere", free_bytes=5e9, already_there_bytes=1e9)


def test_an_environment_that_is_there_already_needs_no_more_disk() -> None:
    check_disk("/somewhere", free_bytes=1e9, already_there_bytes=7.2e9)


def test_set_up_fails_with_pips_words_then_finishes_then_has_nothing_to_do(
    repository: Path, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"

    failed = setup(repository, packages)
    assert failed.returncode != 0
    assert "No matching distribution found for tiny==1.0" in failed.stderr
    assert str(repository / ".venv" / "pip.log") in failed.stderr

    write_wheel(packages)
    finished = setup(repository, packages)
    assert finished.returncode == 0, finished.stderr
    answer = subprocess.run(
        [repository / ".venv" / "bin" / "python", "-c", "import tiny; print(tiny.ANSWER, tiny.__cached__)"],
        capture_output=True,
        text=True,
    ).stdout.split(maxsplit=1)
    assert answer[0] == "42"
    assert Path(answer[1].strip()).exists()  # compiled

    assert setup(repository, packages).stdout == ""
