"""Gives a process an /opt/ml of its own, where the machine allows it: the folder of its job or model."""

import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from include.local_aws.config import Config
from include.local_aws.sagemaker import bind_opt_ml

NOT_POSSIBLE = (
    "Local AWS cannot give this process an /opt/ml of its own: that takes a mount namespace (unshare of util-linux, "
    "on Linux), and warm pools have none. Paths in arguments, variables and hyperparameters are replaced. Code that "
    "spells out /opt/ml uses this machine's folder, and what it writes there is not uploaded. Use the variables SM_..."
)

# The second needs no rights of its own, but makes the process see every file as its own or nobody's.
_WAYS = (("--mount",), ("--mount", "--user", "--map-root-user"))


def is_possible() -> bool:
    """Return whether this machine allows it."""
    return unshare_options() is not None


def private(config: Config, command: Sequence[str], folder: Path) -> list[str]:
    """Return what runs a command with a folder as its /opt/ml, or the command itself where that is not possible.

    The process keeps the id that it is started with.
    """
    way = unshare_options()
    if way is None:
        return list(command)
    return ["unshare", *way, config.python, "-IS", bind_opt_ml.__file__, str(folder), *command]


@functools.cache
def unshare_options() -> tuple[str, ...] | None:
    if shutil.which("unshare") is None:
        return None
    for options in _WAYS:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "seen").touch()
            command = [sys.executable, "-IS", bind_opt_ml.__file__, folder, "test", "-e", "/opt/ml/seen"]
            if (
                subprocess.run(["unshare", *options, *command], check=False, capture_output=True).returncode
                == 0
            ):
                return options
    return None
