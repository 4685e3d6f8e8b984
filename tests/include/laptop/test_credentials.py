"""Passwords and keys are random, persistent, and readable only by their owner."""

from pathlib import Path

from include.laptop.credentials import ADMIN, keys, passwords


def test_keys_are_kept_across_starts(tmp_path: Path) -> None:
    assert keys(tmp_path / "keys.json") == keys(tmp_path / "keys.json")


def test_stacks_have_different_keys(tmp_path: Path) -> None:
    one, other = keys(tmp_path / "one.json"), keys(tmp_path / "other.json")
    assert one.jwt_secret != other.jwt_secret
    assert one.fernet_key != other.fernet_key


def test_token_secret_has_the_length_that_its_algorithm_requires(tmp_path: Path) -> None:
    assert len(keys(tmp_path / "keys.json").jwt_secret.encode()) >= 64


def test_only_the_owner_can_read_the_files(tmp_path: Path) -> None:
    keys(tmp_path / "keys.json")
    passwords(tmp_path / "passwords.json")
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


def test_every_user_has_a_different_password(tmp_path: Path) -> None:
    generated = passwords(tmp_path / "passwords.json")
    assert ADMIN in generated
    assert len(set(generated.values())) == len(generated)
