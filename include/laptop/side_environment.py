"""Create virtual environments in ``.local`` for software that needs different versions than Airflow."""

from __future__ import annotations

import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def make(folder: Path, packages: Sequence[str]) -> None:
    """Create an environment with these packages from the package index, unless it exists.

    :raises subprocess.CalledProcessError: If pip can't install them.
    """
    done = folder / "installed.txt"
    wanted = "\n".join(packages)
    if done.is_file() and done.read_text() == wanted:
        return
    print(f"Creating {folder.relative_to(REPOSITORY)} with {', '.join(packages)}", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    done.write_text(wanted)
