"""Build the archives that are shipped to AWS. Equal source gives an equal archive and an equal name."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import wheels
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.results import StagedCode
from include.pipeline.settings import Project
from include.pipeline.target import is_local

INCLUDE = Path(__file__).parents[1]
# SageMaker's images lack these packages, and a job without internet access can't install them. Ship them with the code.
VENDORED = {"efficientnet_lite0": ["efficientnet_lite_pytorch"]}
CLASSIFIER_IN_WORKSPACE = "files/classifier"
SERVING_FILES = ("Dockerfile", "batching.py", "requirements.txt", "serve", "serve.py", "serving_app.py")
EARLIEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class CodeArchive:
    """An archive and the SHA-256 of the files in it."""

    content: bytes
    sha256: str


def classifier_package(project: Project) -> CodeArchive:
    """Return ``sourcedir.tar.gz``: the classifier's files, and the packages that its architecture needs.

    The upload to AWS also has the unpacked wheels of :mod:`include.pipeline.wheels`.
    """
    return _tar(_classifier_files(project))


def workspace_package(project: Project, settings: dict[str, object]) -> CodeArchive:
    """Return ``workspace.tar.gz``: the scripts of a notebook instance, and its user's files below ``files``.

    :param settings: the content of ``project.json``.
    """
    return _tar(_workspace_files(project, settings))


def _workspace_files(project: Project, settings: dict[str, object]) -> dict[str, bytes]:
    files = {
        "files/project.json": f"{json.dumps(settings, indent=2)}\n".encode(),
        **_in_workspace(_classifier_files(project)),
    }
    for name in ("install.py", "idle_stop.py", "files/explore.ipynb", "files/workspace.py"):
        files[name] = (INCLUDE / "workspace" / name.removeprefix("files/")).read_bytes()
    return files


def _classifier_files(project: Project) -> dict[str, bytes]:
    files = _python_files(INCLUDE / "classifier")
    for module in VENDORED.get(project.classifier.architecture, []):
        # not imported, because Airflow's environment may lack torch
        found = importlib.util.find_spec(module)
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError(
                f"{module} is not installed, but {project.classifier.architecture} needs it. Install it."
            )
        files |= {
            f"{module}/{name}": content
            for name, content in _python_files(Path(found.submodule_search_locations[0])).items()
        }
    return files


def _tar(files: dict[str, bytes]) -> CodeArchive:
    file = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as tar,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)  # owner, mode and time keep their fixed defaults
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return CodeArchive(file.getvalue(), _content_digest(files))


def function_package() -> CodeArchive:
    """Return the zip archive of the Lambda function."""
    files = _python_files(INCLUDE / "lambda_function")
    for name in ("__init__.py", "request_body.py"):
        files[f"image_classifier/{name}"] = (INCLUDE / "classifier" / "image_classifier" / name).read_bytes()
    return CodeArchive(_zip(files), _content_digest(files))


def serving_package() -> CodeArchive:
    """The zip that the serving image is built from: a Dockerfile and what it copies, and the digest in ``content``."""
    folder = INCLUDE / "serving"
    files = {name: (folder / name).read_bytes() for name in SERVING_FILES}
    digest = _content_digest(files)
    return CodeArchive(_zip({**files, "content": digest.encode()}), digest)


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, EARLIEST_ZIP_DATE)
            member.external_attr = 0o644 << 16  # Lambda runs as another user, who has to read the file
            archive.writestr(member, content)
    return file.getvalue()


def upload_classifier(project: Project, bucket: str, s3: Any) -> StagedCode:
    """Upload the classifier's archive to ``s3://<bucket>/<project>/code/<sha256>/sourcedir.tar.gz``, if it is new."""
    files = {**_classifier_files(project), **_pins()}
    sha256 = _content_digest(files)
    uri = f"{project_uri(bucket, project)}/code/{sha256}/sourcedir.tar.gz"
    _put_once(uri, lambda: _tar({**files, **_wheels(project, bucket, s3)}).content, s3)
    return StagedCode(uri=uri, sha256=sha256)


def upload_workspace(project: Project, bucket: str, settings: dict[str, object], s3: Any) -> str:
    """Upload the archive to ``s3://<bucket>/<project>/workspace/<sha256>/workspace.tar.gz``, unless it exists.

    :return: its S3 URI.
    """
    files = {**_workspace_files(project, settings), **_in_workspace(_pins())}
    uri = f"{project_uri(bucket, project)}/workspace/{_content_digest(files)}/workspace.tar.gz"
    _put_once(uri, lambda: _tar({**files, **_in_workspace(_wheels(project, bucket, s3))}).content, s3)
    return uri


def _pins() -> dict[str, bytes]:
    """The list of wheels, which names an archive of code as the wheels would: to name it, nothing is fetched."""
    return {} if is_local() else wheels.pins()


def _wheels(project: Project, bucket: str, s3: Any) -> dict[str, bytes]:
    # Local AWS runs jobs and endpoints by this machine's Python, which has the packages.
    return {} if is_local() else wheels.files(project, bucket, s3)


def _in_workspace(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{CLASSIFIER_IN_WORKSPACE}/{name}": content for name, content in files.items()}


def _put_once(uri: str, make: Callable[[], bytes], s3: Any) -> None:
    """Put an object to S3, unless there is one of this name."""
    bucket, key = split_s3_uri(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NotFound"):
            raise
        s3.put_object(Bucket=bucket, Key=key, Body=make())


def _python_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.py"))}


def _content_digest(files: dict[str, bytes]) -> str:
    # The digest of the files, not of the archive: another version of zlib may compress them to other bytes.
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()
