"""Folders to and from S3."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from include.local_aws import object_store
from include.local_aws.config import Config

BUCKET = "object-store-test"


@pytest.fixture(scope="module")
def config(local_aws: Any) -> Config:
    config = Config(state_dir=local_aws.state_dir, port=int(local_aws.url.rpartition(":")[2]))
    s3 = config.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    for key in ("images/a.jpg", "images/deep/b.jpg", "images.csv", "images/folder/"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key)
    s3.put_object(Bucket=BUCKET, Key="unsafe/../../escaped.txt", Body="out")
    return config


@pytest.mark.parametrize(
    ("prefix", "files"),
    [
        pytest.param("images/", ["a.jpg", "deep/b.jpg"], id="folder"),
        pytest.param("images", ["a.jpg", "deep/b.jpg", "images.csv"], id="beginning of names"),
        pytest.param("images/deep/b.jpg", ["b.jpg"], id="one object"),
        pytest.param("nothing/", [], id="nothing"),
    ],
)
def test_names_are_relative_to_the_prefix(
    config: Config, tmp_path: Path, prefix: str, files: list[str]
) -> None:
    count = object_store.download(config, f"s3://{BUCKET}/{prefix}", tmp_path)
    found = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert (found, count) == (files, len(files))


def test_a_key_that_would_leave_the_folder_is_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside its folder"):
        object_store.download(config, f"s3://{BUCKET}/unsafe/", tmp_path / "deep" / "folder")
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_folder_comes_back_as_it_was_sent(config: Config, tmp_path: Path) -> None:
    (tmp_path / "sent" / "deep").mkdir(parents=True)
    (tmp_path / "sent" / "deep" / "file").write_text("text")
    assert object_store.upload(config, tmp_path / "sent", f"s3://{BUCKET}/sent") == 1
    object_store.download(config, f"s3://{BUCKET}/sent", tmp_path / "got")
    assert (tmp_path / "got" / "deep" / "file").read_text() == "text"


def test_an_archive_comes_back_as_it_was_sent(config: Config, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "file").write_text("text")
    object_store.upload_archive(config, tmp_path / "sent", f"s3://{BUCKET}/sent.tar.gz")
    object_store.extract_archive(config, f"s3://{BUCKET}/sent.tar.gz", tmp_path / "got")
    assert (tmp_path / "got" / "file").read_text() == "text"


def packed(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [packed("../escaped.txt", b""), b"no archive", packed("weights", bytes(range(256)) * 400)[:-200]],
    ids=["unsafe", "none", "cut off"],
)
def test_an_unsafe_or_damaged_archive_is_refused(config: Config, tmp_path: Path, content: bytes) -> None:
    config.client("s3").put_object(Bucket=BUCKET, Key="refused.tar.gz", Body=content)
    with pytest.raises(ValueError, match="refused\\.tar\\.gz can't be unpacked"):
        object_store.extract_archive(config, f"s3://{BUCKET}/refused.tar.gz", tmp_path / "got")
    assert not (tmp_path / "escaped.txt").exists()


def test_an_address_that_is_not_s3_s_is_refused() -> None:
    with pytest.raises(ValueError, match="not an S3 address"):
        object_store.split_uri("https://example.org/file")
