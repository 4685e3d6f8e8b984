"""Small model archives for tests: SageMaker refuses a model whose archive does not exist."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

MODEL = {"code/inference.py": "def model_fn(model_dir):\n    return None\n"}
ANSWERS_ALL = {
    "code/inference.py": "def model_fn(model_dir): return None\n"
    "def transform_fn(model, body, content_type, accept): return '{}', 'application/json'\n"
}
"""A model that accepts every request."""


def archive(files: Mapping[str, str] = MODEL) -> bytes:
    """Return a tar.gz of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def put_archive(s3: Any, uri: str, files: Mapping[str, str] = MODEL) -> str:
    """Put a tar.gz of files at an S3 URI, in a bucket that is created if it does not exist; returns the URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=archive(files))
    return uri
