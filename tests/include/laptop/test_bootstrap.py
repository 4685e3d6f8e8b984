"""The setup: what it rejects, what it installs, and that it does nothing the second time."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from include.laptop import bootstrap
from include.laptop.bootstrap import BootstrapError, Environment, check_disk, check_python
from include.laptop.stack_paths import REPOSITORY

TOO_OLD = sorted((Path.home() / ".pyenv" / "versions").glob("3.[6-9].*/bin/python3"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that requires one tiny package, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("set up") / "with a space"
    (folder / "include" / "laptop").mkdir(parents=True)
    shutil.copy(REPOSITORY / "include" / "laptop" / "bootstrap.py", folder / "include" / "laptop")
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
def test_old_python_can_parse_the_file_and_reports_the_required_version(repository: Path) -> None:
    fresh = repository.parent / "fresh"
    shutil.copytree(repository, fresh, ignore=shutil.ignore_patterns(".venv"))
    ran = subprocess.run(
        [TOO_OLD[0], fresh / "include" / "laptop" / "bootstrap.py"], capture_output=True, text=True
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
def test_unsupported_python_is_rejected(version: tuple[int, int, int], verdict: str) -> None:
    with pytest.raises(BootstrapError, match=verdict):
        check_python(version, "/usr/bin/python3")


def test_every_supported_python_is_accepted() -> None:
    for minor in (11, 12, 13):
        check_python((3, minor, 0), "python3")


def test_insufficient_disk_space_is_reported_with_the_missing_size() -> None:
    with pytest.raises(BootstrapError, match=r"only 5\.0 GB are free\. Free 2\.0 GB more"):
        check_disk("/somewhere", free_bytes=5e9, already_there_bytes=1e9)


def test_existing_environment_needs_no_more_disk_space() -> None:
    check_disk("/somewhere", free_bytes=1e9, already_there_bytes=7.2e9)


def test_setup_fails_with_pips_message_then_succeeds_then_does_nothing(
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


def test_requirements_that_change_during_the_installation_are_installed_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements.txt").write_text("tiny\n")
    (tmp_path / "constraints.txt").write_text("tiny==1.0\n")
    environment = Environment(str(tmp_path))
    Path(environment.python).parent.mkdir(parents=True)
    Path(environment.python).touch()
    installed = []

    def install(_: Environment, __: int) -> None:
        installed.append((tmp_path / "constraints.txt").read_text())
        (tmp_path / "constraints.txt").write_text("tiny==2.0\n")

    monkeypatch.setattr(Environment, "works", lambda _: True)
    monkeypatch.setattr(Environment, "install", install)
    monkeypatch.setattr(Environment, "compile", lambda _: None)
    for _ in range(3):
        bootstrap.bootstrap(str(tmp_path))

    assert installed == ["tiny==1.0\n", "tiny==2.0\n"]
