"""Loads an archive from the web or from S3 to a file, and goes on where the connection was cut."""

from __future__ import annotations

import errno
import ipaddress
import random
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.exceptions import InvalidSchema, InvalidURL

from include.pipeline.addresses import check_address
from include.pipeline.data.errors import DatasetError
from include.pipeline.data.progress import Progress

CONNECT_SECONDS, READ_SECONDS = 10, 60
MAX_REDIRECTS = 5
ATTEMPTS_WITHOUT_PROGRESS = 5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 30.0
CHUNK_BYTES = 1 << 16  # what has come of the last one is lost when the connection is cut
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
REDIRECTS = {301, 302, 303, 307, 308}
METADATA_ADDRESSES = {ipaddress.ip_address("fd00:ec2::254")}


class CutError(Exception):
    """The connection broke, or the server can't answer now; trying again may help."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def public_address(address: str) -> str:
    """The address without user, password and query, which may be secrets."""
    scheme, separator, _ = address.partition("://")
    if not separator:
        return address
    try:
        parts = urlsplit(address)
    except ValueError:  # where the secrets end can't be told
        return f"{scheme}://..."
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def download(address: str, destination: Path, say: Callable[[str], None]) -> None:
    """Load an http(s) address to a file.

    What has arrived is kept when the connection breaks, where the server knows ranges; else it starts again.

    :raises DatasetError: if the server refuses, or the disk is too small.
    :raises ConnectionError: if five attempts in a row brought nothing.
    """
    state = _Download(public_address(address), destination, say)
    failures = 0
    while True:
        before = state.received
        try:
            with answer_of("GET", address, state.range_headers()) as answer:
                state.take(answer)
            return
        except (InvalidURL, InvalidSchema) as error:
            raise DatasetError(f"{state.name} is not an address that can be asked.") from error
        except (requests.RequestException, CutError) as error:
            failures = 1 if state.received > before else failures + 1
            reason = str(error) if isinstance(error, CutError) else type(error).__name__
            if failures >= ATTEMPTS_WITHOUT_PROGRESS:
                # from None: the cause names the whole address, whose query may be a signature
                raise ConnectionError(
                    f"{state.name} can't be fetched ({reason}) after {failures} attempts. Is the address right?"
                ) from None
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
            pause = getattr(error, "pause", None) or pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
            say(f"{state.name}: {reason}; going on from byte {state.received:,} in {pause:.1f} s.")
            time.sleep(pause)


@contextmanager
def answer_of(method: str, address: str, headers: dict[str, str]) -> Iterator[requests.Response]:
    """The answer to a request, after redirects, each of which is judged before it is followed.

    :raises DatasetError: if an address is not one that may be asked.
    """
    session = requests.Session()
    session.trust_env = True
    sent = {**headers, "Accept-Encoding": "identity"}  # so that lengths count what is written
    with session:
        for _ in range(MAX_REDIRECTS + 1):
            _check_address(address)
            try:
                answer = session.request(
                    method,
                    address,
                    headers=sent,
                    stream=True,
                    allow_redirects=False,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                )
            except requests.RequestException:
                raise
            except ValueError as error:  # requests reads where a redirect leads, though it does not follow it
                raise DatasetError(
                    f"{public_address(address)} redirects to what is no address. Give the address of the archive."
                ) from error
            target = answer.headers.get("Location")
            if answer.status_code not in REDIRECTS or not target:
                with answer:
                    yield answer
                return
            answer.close()
            following = urlsplit(urljoin(address, target)).geturl()  # with the scheme in small letters
            if urlsplit(address).scheme == "https" and urlsplit(following).scheme == "http":
                raise DatasetError(
                    f"{public_address(address)} redirects from https to http, which is not followed."
                )
            address = following
    raise DatasetError(f"{public_address(address)} redirects more than {MAX_REDIRECTS} times.")


def _check_address(address: str) -> None:
    if not address.startswith(("http://", "https://")):
        raise DatasetError(f"{public_address(address)} is not an http(s) address, so it is not followed.")
    try:
        check_address(address)
    except ValueError as error:
        raise DatasetError(f"{public_address(address)} is not followed: it {error}.") from None
    parts = urlsplit(address)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError):
        return  # the request itself will say so, or a proxy knows the name
    for entry in found:
        ip = ipaddress.ip_address(entry[4][0])
        if ip.is_link_local or ip in METADATA_ADDRESSES:
            raise DatasetError(
                f"{public_address(address)} leads to {ip}, where AWS keeps credentials; refused."
            )


class _Download:
    """One file on its way."""

    def __init__(self, name: str, destination: Path, say: Callable[[str], None]) -> None:
        self.name, self._destination, self._say = name, destination, say
        self._version: str | None = None
        self._total: int | None = None
        self._progress: Progress | None = None
        self.received = 0

    def range_headers(self) -> dict[str, str]:
        if not self.received or not self._version:
            return {}
        return {"Range": f"bytes={self.received}-", "If-Range": self._version}

    def take(self, answer: requests.Response) -> None:
        """Write what comes.

        :raises CutError: if it is not all.
        """
        status = answer.status_code
        if status == 429 or status >= 500:
            raise CutError(f"the server answered with status {status}", _retry_after(answer))
        if status not in (200, 206):
            raise DatasetError(f"{self.name} answered with status {status}.")
        if status == 200:  # the first answer, no ranges, or another file than before
            self._begin(answer)
        with self._destination.open("r+b" if self.received else "wb") as file:
            file.seek(self.received)
            for chunk in answer.iter_content(CHUNK_BYTES):
                self.received += file.write(chunk)
                if self._progress:
                    self._progress.advance(0, len(chunk))
        if self._total is not None and self.received != self._total:
            raise CutError(f"cut off after {self.received:,} of {self._total:,} bytes")
        if self._progress:
            self._progress.finish()

    def _begin(self, answer: requests.Response) -> None:
        length = answer.headers.get("Content-Length")
        self.received = 0
        self._total = int(length) if length else None
        etag = answer.headers.get("ETag", "")
        self._version = etag if etag and not etag.startswith("W/") else answer.headers.get("Last-Modified")
        check_space(self.name, self._total or 0, self._destination)
        self._progress = Progress("Downloaded", None, self._total, self._say)


@contextmanager
def writing(address: str) -> Iterator[None]:
    """Raise a DatasetError where a source can't be written to this machine's disk in the block.

    :raises DatasetError: if the disk is full or read-only, or there is no folder for temporary files.
    """
    try:
        yield
    except OSError as error:
        # tempfile says with ENOENT that it found no folder in which it could write.
        if error.errno not in DISK_ERRORS and "temporary directory" not in str(error.strerror):
            raise
        raise DatasetError(
            f"{public_address(address)} can't be written to this machine's folder for temporary files: "
            f"{error.strerror}. Make room there, or start Airflow with TMPDIR set to a folder on another disk."
        ) from error


def check_space(name: str, size: int, destination: Path) -> None:
    """See that a file fits on the disk.

    :raises DatasetError: if it does not.
    """
    free = shutil.disk_usage(destination.parent).free
    if size > free:
        raise DatasetError(
            f"{name} has {size / 1e9:.1f} GB; only {free / 1e9:.1f} GB are free on this machine."
        )


def _retry_after(answer: requests.Response) -> float | None:
    value: Any = answer.headers.get("Retry-After", "")
    return min(float(value), LONGEST_PAUSE_SECONDS) if value.isdigit() else None
