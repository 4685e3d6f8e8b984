"""What training recorded is read out of output.tar.gz, of which nothing is unpacked."""

import io
import tarfile
from pathlib import Path

import pytest
from errors import ClassifierError
from training_record import TrainingRecord, read_training_record


def write_archive(folder: Path, files: dict[str, str]) -> None:
    with tarfile.open(folder / "output.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content.encode()))


@pytest.mark.parametrize("prefix", ["", "./"])
def test_history_and_diagnosis_are_read(tmp_path: Path, prefix: str) -> None:
    warning = '[{"check": "overfitting", "message": "It rose."}]'
    write_archive(
        tmp_path, {f"{prefix}diagnosis.json": warning, f"{prefix}history.json": '[{"epoch": 1}]', "plot": "x"}
    )

    assert read_training_record(tmp_path) == TrainingRecord(
        history=[{"epoch": 1}], diagnosis=[{"check": "overfitting", "message": "It rose."}]
    )


def test_a_training_that_looked_for_no_faults_has_no_diagnosis(tmp_path: Path) -> None:
    write_archive(tmp_path, {"history.json": "[]"})

    assert read_training_record(tmp_path) == TrainingRecord(history=[], diagnosis=None)


def test_no_archive_is_no_record(tmp_path: Path) -> None:
    assert read_training_record(tmp_path) is None


def test_a_member_that_leads_elsewhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('["secret"]')
    with tarfile.open(tmp_path / "output.tar.gz", "w:gz") as archive:
        link = tarfile.TarInfo("history.json")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.json")
        archive.addfile(link)

    assert read_training_record(tmp_path) == TrainingRecord(history=[], diagnosis=None)


def test_a_damaged_record_is_told(tmp_path: Path) -> None:
    write_archive(tmp_path, {"history.json": "[{"})

    with pytest.raises(ClassifierError, match=r"record .*output\.tar\.gz cannot be read"):
        read_training_record(tmp_path)
