"""A package comes from a wheel that was shipped for this Python and machine, or else from what is installed."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from image_classifier import shipped
from image_classifier.errors import ClassifierError

from tests.include.classifier.conftest import CLASSIFIER

MINOR = sys.version_info.minor


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shipped, "WHEELS", tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def ship(folder: Path, tags: str, package: str = "shipped_example") -> Path:
    wheel = folder / f"{package}-1.0-{tags}"
    (wheel / package).mkdir(parents=True)
    (wheel / package / "__init__.py").write_text("SHIPPED = True\n")
    return wheel


@pytest.mark.parametrize(
    "tags",
    [
        "cp38-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64",
        f"cp3{MINOR}-cp3{MINOR}-manylinux_2_28_x86_64",
        f"cp3{MINOR}-abi3-manylinux_2_28_x86_64",
        "py3-none-any",
        "py2.py3-none-any",
        "py3-none-manylinux_2_28_x86_64",
    ],
)
def test_a_wheel_for_this_python_and_machine_is_used(tags: str, tmp_path: Path) -> None:
    wheel = ship(tmp_path, tags)

    shipped.provide("shipped_example")
    shipped.provide("shipped_example")

    assert sys.path.count(str(wheel)) == 1


@pytest.mark.parametrize(
    "tags",
    [
        f"cp3{MINOR + 1}-cp3{MINOR + 1}-manylinux_2_28_x86_64",
        f"cp3{MINOR}-cp3{MINOR}t-manylinux_2_28_x86_64",
        f"cp3{MINOR + 1}-abi3-manylinux_2_28_x86_64",
        f"cp3{MINOR}-cp3{MINOR}-manylinux_2_28_aarch64",
        f"cp3{MINOR}-cp3{MINOR}-musllinux_1_2_x86_64",
    ],
)
def test_a_wheel_for_another_python_or_machine_is_passed_over(tags: str, tmp_path: Path) -> None:
    ship(tmp_path, tags)

    with pytest.raises(ClassifierError, match=rf"no wheel of it for Python 3.{MINOR} on linux x86_64"):
        shipped.provide("shipped_example")


def test_elsewhere_than_on_linux_what_is_installed_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = ship(tmp_path, "cp38-abi3-manylinux_2_17_x86_64", package="json")
    monkeypatch.setattr(sys, "platform", "darwin")

    shipped.provide("json")

    assert str(wheel) not in sys.path


def test_of_both_the_shipped_one_is_imported(tmp_path: Path) -> None:
    ship(tmp_path, "py3-none-any", package="safetensors")
    code = (
        f"import sys, pathlib; sys.path.insert(0, {str(CLASSIFIER)!r}); "
        "from image_classifier import shipped; "
        f"shipped.WHEELS = pathlib.Path({str(tmp_path)!r}); shipped.provide('safetensors'); "
        "import safetensors; print(safetensors.SHIPPED)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "True\n", done.stderr
