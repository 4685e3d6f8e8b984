"""Wheels are fetched once by their hashes, kept in the bucket, and unpacked beside the code."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from include.laptop import wheels as wheels_command
from include.pipeline import packages, support, wheels
from include.pipeline.settings import Project

NAME = "shipped_example-1.0-py3-none-any.whl"
PINNED = wheels.LIST
FOLDER = f"wheels/{NAME.removesuffix('.whl')}"


def wheel(**further: str) -> bytes:
    """Return a wheel that pip takes."""
    files = {
        "shipped_example/__init__.py": "SHIPPED = True\n",
        "shipped_example-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shipped-example\nVersion: 1.0\n",
        "shipped_example-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "shipped_example-1.0.dist-info/RECORD": "",
        **further,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


@pytest.fixture(autouse=True)
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of wheels."""
    path = tmp_path / "wheels.txt"
    path.write_text(f"shipped-example==1.0 --hash=sha256:{hashlib.sha256(wheel()).hexdigest()}\n")
    monkeypatch.setattr(wheels, "LIST", path)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the package index, with the wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    (folder / NAME).write_bytes(wheel())
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


class Index:
    """Stands for pip and the package index.

    :ivar is_there: whether it answers.
    """

    is_there = True

    def fetch(self, project: Project) -> dict[str, bytes]:
        if not self.is_there:
            raise wheels.WheelError("can't be fetched")
        return {NAME: wheel()}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Index:
    index = Index()
    monkeypatch.setattr(wheels, "fetch", index.fetch)
    return index


def shipped(project: Project, s3: Any) -> set[str]:
    """Upload the code, and return the names of the wheels' files in it."""
    uri = packages.upload_classifier(project, "bucket", s3).uri
    content = s3.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {name for name in archive.getnames() if name.startswith("wheels/")}


def kept(s3: Any) -> str:
    """Return the key under which the bucket keeps the wheels."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="bucket")["Contents"]]
    [key] = [key for key in keys if key.startswith("birds/wheels/")]
    return str(key)


@pytest.mark.usefixtures("index")
def test_the_code_is_shipped_with_the_unpacked_wheels(project: Project, s3: Any) -> None:
    assert {
        f"{FOLDER}/shipped_example/__init__.py",
        f"{FOLDER}/shipped_example-1.0.dist-info/METADATA",
    } <= shipped(project, s3)


def test_the_bucket_keeps_the_wheels_for_other_code(fetched: Index, project: Project, s3: Any) -> None:
    first = shipped(project, s3)
    fetched.is_there = False
    other = project.model_copy(
        update={"classifier": project.classifier.model_copy(update={"architecture": "resnet18"})}
    )

    assert shipped(other, s3) == first


def test_code_that_is_in_s3_needs_no_wheels(fetched: Index, project: Project, s3: Any) -> None:
    first = packages.upload_classifier(project, "bucket", s3)
    fetched.is_there = False
    s3.delete_object(Bucket="bucket", Key=kept(s3))

    assert packages.upload_classifier(project, "bucket", s3) == first


@pytest.mark.usefixtures("fetched")
def test_other_wheels_give_the_code_another_name(pinned: Path, project: Project, s3: Any) -> None:
    first = packages.upload_classifier(project, "bucket", s3)
    pinned.write_text(f"{pinned.read_text()}# renewed\n")

    assert packages.upload_classifier(project, "bucket", s3).sha256 != first.sha256


@pytest.mark.usefixtures("fetched")
def test_a_workspace_has_them_beside_its_classifier(project: Project, s3: Any) -> None:
    uri = packages.upload_workspace(project, "bucket", {}, s3)
    content = s3.get_object(Bucket="bucket", Key=uri.removeprefix("s3://bucket/"))["Body"].read()

    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        assert f"files/classifier/{FOLDER}/shipped_example/__init__.py" in archive.getnames()


def test_local_aws_needs_none(
    fetched: Index, project: Project, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched.is_there = False
    monkeypatch.setenv("IMAGE_CLASSIFIER_TARGET", "local")

    assert shipped(project, s3) == set()


def test_without_an_index_it_says_what_to_do(index: Path, project: Project, s3: Any) -> None:
    (index / NAME).unlink()

    with pytest.raises(wheels.WheelError) as refused:
        packages.upload_classifier(project, "bucket", s3)

    message = str(refused.value)
    assert "can't be fetched for Python 3.12: Could not find a version" in message
    assert message.endswith("make wheels PROJECT=birds")
    assert "Contents" not in s3.list_objects_v2(Bucket="bucket")


def test_a_wheel_with_another_hash_is_not_fetched(index: Path, project: Project, s3: Any) -> None:
    (index / NAME).write_bytes(wheel(**{"shipped_example/evil.py": ""}))

    with pytest.raises(wheels.WheelError, match="DO NOT MATCH THE HASHES"):
        packages.upload_classifier(project, "bucket", s3)


@pytest.mark.usefixtures("index")
def test_a_requirement_without_a_hash_is_not_fetched(pinned: Path, project: Project) -> None:
    pinned.write_text("shipped-example==1.0\n")

    with pytest.raises(wheels.WheelError, match="Hashes are required"):
        wheels.fetch(project)


def test_a_wheel_that_pip_lets_pass_is_compared_as_well(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(python: str, folder: str, project: Project) -> None:
        Path(folder, NAME).write_bytes(wheel(**{"shipped_example/evil.py": ""}))

    monkeypatch.setattr(wheels, "pip", fetch)

    with pytest.raises(wheels.WheelError, match=f"{NAME} from the package index has the SHA-256"):
        wheels.fetch(project)


@pytest.mark.usefixtures("fetched")
def test_a_kept_wheel_with_another_hash_is_not_used(project: Project, s3: Any) -> None:
    shipped(project, s3)
    key = kept(s3)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(NAME, wheel(**{"shipped_example/evil.py": ""}))
    s3.put_object(Bucket="bucket", Key=key, Body=file.getvalue())

    with pytest.raises(wheels.WheelError, match=rf"{NAME} from s3://bucket/{key} has the SHA-256"):
        wheels.files(project, "bucket", s3)


def link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo("shipped_example/link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wheel(**{"../outside.py": ""}), "outside of its folder: '../outside.py'"),
        (wheel(**{"/etc/outside.py": ""}), "outside of its folder"),
        (wheel(**{"a/../../../outside.py": ""}), "outside of its folder"),
        (wheel(**{"a\\..\\b.py": ""}), "outside of its folder"),
        (link(), "has a link in it"),
        (wheel(**{"shipped_example-1.0.data/scripts/x": ""}), "can't be used by unpacking it alone"),
    ],
    ids=["parent", "absolute", "hidden parent", "backslash", "link", "scripts"],
)
def test_a_wheel_that_is_more_than_files_in_its_folder_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(wheels.WheelError, match=message):
        wheels.unpack(NAME, content)


def test_a_wheel_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "MAX_UNPACKED_BYTES", 100)

    with pytest.raises(wheels.WheelError, match="more than 100 bytes"):
        wheels.unpack(NAME, wheel())


def test_pip_is_asked_for_the_python_of_each_image_that_is_used(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.extend(word for word in command if word.startswith("--python-version"))
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    wheels.fetch(project)

    used = {images[0].python for images in support.table().images.values()}
    assert set(asked) == {f"--python-version={python}" for python in used}


def test_every_requirement_is_pinned_to_a_version_and_wheels() -> None:
    lines = PINNED.read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#")).replace("\\\n", "")
    requirements = [line for line in text.splitlines() if line.strip()]

    assert requirements
    assert all("==" in line and wheels.HASH.search(line) for line in requirements)


def test_make_wheels_brings_them_to_the_bucket(
    fetched: Index,
    project: Project,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = type("Found", (), {"bucket": "bucket"})
    monkeypatch.setattr(wheels_command, "read_infrastructure", lambda client: found)
    monkeypatch.setattr(wheels_command, "load_project", lambda path: project)
    monkeypatch.setattr(sys, "argv", ["make wheels", "birds"])

    wheels_command.main()

    [item] = s3.list_objects_v2(Bucket="bucket")["Contents"]
    assert f"{NAME}: now in s3://bucket/{item['Key']}" in capsys.readouterr().out
    fetched.is_there = False
    assert shipped(project, s3)
