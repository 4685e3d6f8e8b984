"""Builds the archives that are shipped to AWS: equal source gives equal bytes, and so an equal name."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
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
    return _tar(_classifier_files(project))


def workspace_package(project: Project, settings: dict[str, Any]) -> Package:
    """``workspace.tar.gz``: what a notebook instance runs, and below ``files`` what its user works with.

    :param settings: what ``project.json`` shall hold.
    """
    files = {
        "files/project.json": f"{json.dumps(settings, indent=2)}\n".encode(),
        **{f"files/classifier/{name}": content for name, content in _classifier_files(project).items()},
    }
    for name in ("install.py", "idle_stop.py", "files/explore.ipynb", "files/workspace.py"):
        files[name] = (INCLUDE / "workspace" / name.removeprefix("files/")).read_bytes()
    return _tar(files)


def _classifier_files(project: Project) -> dict[str, bytes]:
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
    return files


def _tar(files: dict[str, bytes]) -> Package:
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
    _put_once(uri, package.content, s3)
    return {"uri": uri, "sha256": package.sha256}


def upload_workspace(project: Project, bucket: str, settings: dict[str, Any], s3: Any) -> str:
    """Put a notebook instance's package to ``s3://<bucket>/<project>/workspace/<sha256>/workspace.tar.gz``, once.

    :return: its address.
    """
    package = workspace_package(project, settings)
    uri = f"{project_uri(bucket, project)}/workspace/{package.sha256}/workspace.tar.gz"
    _put_once(uri, package.content, s3)
    return uri


def _put_once(uri: str, content: bytes, s3: Any) -> None:
    bucket, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
            raise
        s3.put_object(Bucket=bucket, Key=key, Body=content)


def _python_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def _content_digest(files: dict[str, bytes]) -> str:
    # Of the files, not of the archive: another zlib may compress the same source to other bytes.
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()
