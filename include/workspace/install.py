"""Copy the shipped files to the user's folder, except files that the user has changed: ``install.py FROM TO``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

RECORD = ".shipped.json"
"""The SHA-256 of each shipped file, by path. A file with another digest was changed by the user."""


def install(source: Path, target: Path) -> list[str]:
    """Copy every file below source to the same path below target, except those that the user has changed.

    :return: The paths of the files that were not replaced.
    """
    record = target / RECORD
    shipped: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    kept = []
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        name, new = path.relative_to(source).as_posix(), _digest(path)
        there = target / name
        if there.is_file() and _digest(there) not in (new, shipped.get(name)):
            kept.append(name)
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there.with_name(there.name + ".new"))
        os.replace(there.with_name(there.name + ".new"), there)
        shipped[name] = new
    record.write_text(json.dumps(shipped, indent=0))
    return kept


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    for name in install(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"{name} was changed by the user and is not replaced.")
