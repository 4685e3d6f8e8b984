"""Prints the digests of the methods that local AWS replaces: ``python -m include.local_aws.moto_patches``."""

import json
import tempfile
from pathlib import Path

import moto

from include.local_aws.config import Config
from include.local_aws.ec2 import Machines
from include.local_aws.moto_patches import digests
from include.local_aws.moto_patches.apply import apply_all
from include.local_aws.processes import ChildProcesses


def main() -> None:
    """Apply all replacements in this process, and print the version of moto with the digests."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config(state_dir=Path(folder))
        apply_all(config, Machines(config, ChildProcesses()))
    print(json.dumps({"moto": moto.__version__, "methods": digests()}, indent=2))


if __name__ == "__main__":
    main()
