"""Builds the archives that are shipped to AWS: equal source gives equal bytes, and so an equal name."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.settings import Project

INCLUDE = Path(__file__).parents[1]
# Neither SageMaker's images nor a job without internet have these, so they travel with the code.
VENDORED = {"efficientnet_lite0": ["efficientnet_lite_pytorch"]}
EARLIEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """An archive and the SHA-256 of its content."""

    content: bytes
    sha256: str


def classifier_package(project: Project) -> Package:
    """``sourcedir.tar.gz``: the classifier's files, and the packages its architecture needs, side by side."""
    files = _python_files(INCLUDE / "classifier")
    for module in VENDORED.get(project.classifier.architecture, []):
        # found, not imported: Airflow's own environment need not have torch
        found = importlib.util.find_spec(module)
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError(
                f"{module} is not installed; {project.classifier.architecture} needs it."
            )
        files |= {
            f"{module}/{name}": content
            for name, content in _python_files(Path(found.submodule_search_locations[0])).items()
        }
    file = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # owner, mode and time keep their fixed defaults
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return Package(file.getvalue(), _content_digest(files))


def function_package() -> Package:
    """The Lambda function's zip."""
    files = _python_files(INCLUDE / "lambda_function")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, EARLIEST_ZIP_DATE)
            member.external_attr = 0o644 << 16  # Lambda runs as another user and must be able to read it
            archive.writestr(member, content)
    return Package(file.getvalue(), _content_digest(files))


def upload_classifier(project: Project, bucket: str, s3: Any) -> dict[str, str]:
    """Put the classifier's package to ``s3://<bucket>/<project>/code/<sha256>/sourcedir.tar.gz``, once.

    :return: ``uri`` and ``sha256``.
    """
    package = classifier_package(project)
    uri = f"{project_uri(bucket, project)}/code/{package.sha256}/sourcedir.tar.gz"
    target, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=target, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
            raise
        s3.put_object(Bucket=target, Key=key, Body=package.content)
    return {"uri": uri, "sha256": package.sha256}


def _python_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def _content_digest(files: dict[str, bytes]) -> str:
    # Of the files, not of the archive: another zlib may compress the same source to other bytes.
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()
