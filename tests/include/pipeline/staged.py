"""Staged data sets for tests."""

from __future__ import annotations

from typing import Any

from include.pipeline.data.manifest import Manifest


def put_data_set(s3: Any, bucket: str, paths: list[str]) -> str:
    """Put images and their manifest to a bucket, and return their S3 URI."""
    manifest = Manifest(
        fingerprint="0123456789abcdef",
        classes=sorted({path.split("/")[1] for path in paths}),
        counts={"test": len(paths)},
        source="birds.zip",
        staged_at="2026-11-30T12:00:00+00:00",
    )
    files = manifest.to_json({"path": path, "size": 5, "sha256": "0" * 64} for path in paths)
    for path, content in (("manifest.json", files), *((path, b"image") for path in paths)):
        s3.put_object(Bucket=bucket, Key=f"data/{path}", Body=content)
    return f"s3://{bucket}/data"
