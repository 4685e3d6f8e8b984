"""The clients of local AWS, regardless of the user's AWS settings."""

from pathlib import Path

import pytest

from include.laptop.infrastructure import client


def test_missing_profile_and_invalid_configuration_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "config"
    broken.write_text("[default\n")
    monkeypatch.setenv("AWS_PROFILE", "missing")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(broken))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(broken))
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    made = client("lambda", "http://127.0.0.1:1")
    assert (made.meta.endpoint_url, made.meta.region_name) == ("http://127.0.0.1:1", "us-east-1")
