"""Ships packages that AWS's images lack: pinned wheels, unpacked beside the classifier's code.

``wheels.txt`` pins them with hashes. pip fetches them where Airflow runs, and the bucket keeps them, so that jobs and
endpoints need no package index, and Airflow needs one only once. ``make wheels`` brings them to the bucket from another
machine.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from botocore.exceptions import ClientError

from include.pipeline import support
from include.pipeline.errors import PermanentError
from include.pipeline.names import project_uri, split_s3_uri
from include.pipeline.settings import Project

LIST = Path(__file__).with_name("wheels.txt")
FOLDER = "wheels"
"""Where they lie in an archive of code: include/classifier/image_classifier/shipped.py looks there."""
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
"""What the wheels may be built for; AWS's images and AMIs have a newer glibc. Graviton is refused elsewhere."""
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
EARLIEST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
FETCH_SECONDS = 300
MAX_UNPACKED_BYTES = 200_000_000


class WheelError(PermanentError):
    """Wheels that can't be had, or must not be used; the message says why."""


def pins() -> dict[str, bytes]:
    """Return the file that decides what is shipped, by its name. It stands for the wheels where code gets its name."""
    return {LIST.name: LIST.read_bytes()}


def files(project: Project, bucket: str, s3: Any) -> dict[str, bytes]:
    """Return the files of all wheels, by their paths in an archive of code.

    The wheels come from the bucket, or else from the package index that pip knows here; then the bucket keeps them.

    :raises WheelError: if they can't be had, or are not those that are pinned.
    """
    uri = kept_at(project, bucket)
    wheels = _kept(uri, s3)
    if wheels is None:
        wheels = fetch(project)
        keep(uri, wheels, s3)
    return {path: content for name, wheel in wheels.items() for path, content in unpack(name, wheel).items()}


def fetch(project: Project) -> dict[str, bytes]:
    """Have pip fetch the wheels for the Pythons of AWS's images, and return them by their file names.

    :raises WheelError: with pip's reason, if it can't.
    """
    table = support.table()
    pythons = sorted({image.python for scope in table.images.values() for image in scope if not image.past})
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        for python in pythons:
            pip(python, folder, project)
        wheels = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    _check(wheels, "the package index")
    return wheels


def unpack(name: str, wheel: bytes) -> dict[str, bytes]:
    """Return the files of a wheel, by their paths below ``wheels/<the wheel's name>/``.

    :raises WheelError: if a file would lie elsewhere, is a link, or has to be installed by more than unpacking.
    """
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if sum(member.file_size for member in members) > MAX_UNPACKED_BYTES:
            raise WheelError(f"The wheel {name} has more than {MAX_UNPACKED_BYTES:,} bytes when unpacked.")
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or ":" in member.filename:
                raise WheelError(f"The wheel {name} has a file outside of its folder: {member.filename!r}.")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise WheelError(f"The wheel {name} has a link in it: {member.filename!r}.")
            if path.parts[0].endswith(".data"):
                raise WheelError(
                    f"The wheel {name} can't be used by unpacking it alone: {member.filename!r}."
                )
            found[f"{FOLDER}/{name.removesuffix('.whl')}/{path}"] = archive.read(member)
    return found


def pip(python: str, folder: str, project: Project) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", f"--python-version={python}", f"--dest={folder}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    try:
        done = subprocess.run(
            [*command, "-r", str(LIST)], capture_output=True, text=True, timeout=FETCH_SECONDS
        )
    except subprocess.TimeoutExpired:
        reason = f"pip was not done after {FETCH_SECONDS} s"
    else:
        if done.returncode == 0:
            return
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")]
        reason = (errors or lines or [f"pip ended with status {done.returncode}"])[0].removeprefix("ERROR: ")
    raise WheelError(
        f"The packages of include/pipeline/{LIST.name}, which AWS's images lack, can't be fetched for Python {python}: "
        f"{reason}. Set PIP_INDEX_URL to a package index that Airflow can reach. If there is none, run this once on a "
        f"machine with an index and credentials for the account: make wheels PROJECT={project.name}"
    )


def kept_at(project: Project, bucket: str) -> str:
    """Return the S3 URI under which the bucket keeps the pinned wheels."""
    return f"{project_uri(bucket, project)}/wheels/{hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]}/wheels.zip"


def _kept(uri: str, s3: Any) -> dict[str, bytes] | None:
    bucket, key = split_s3_uri(uri)
    try:
        content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        wheels = {name: archive.read(name) for name in archive.namelist()}
    _check(wheels, uri)
    return wheels


def keep(uri: str, wheels: dict[str, bytes], s3: Any) -> None:
    """Put all wheels to S3 as one object, so that there are all of them or none."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in sorted(wheels.items()):
            archive.writestr(zipfile.ZipInfo(name, EARLIEST_ZIP_DATE), content)
    bucket, key = split_s3_uri(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=file.getvalue())


def _check(wheels: dict[str, bytes], source: str) -> None:
    promised = set(HASH.findall(LIST.read_text(encoding="utf-8")))
    for name, content in wheels.items():
        actual = hashlib.sha256(content).hexdigest()
        if actual not in promised:
            raise WheelError(
                f"{name} from {source} has the SHA-256 {actual}, which include/pipeline/{LIST.name} does not list. It "
                "was not used. Delete it where it comes from, or correct the list."
            )
