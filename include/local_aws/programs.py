"""Programs that AWS's toolkits call by name, as they work in any environment.

pip writes the path of the interpreter into each program that it installs. After an environment was moved, none of them
starts, while ``python -m`` still works.
"""

import shlex
from pathlib import Path

MODULES = {"torchrun": "torch.distributed.run"}
"""What a job's command line may name, and the module that is run."""


def write(folder: Path, python: str) -> None:
    """Write the programs to a folder, which is created.

    :param python: the interpreter that runs them
    """
    folder.mkdir()
    for name, module in MODULES.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} -m {module} "$@"\n')
        program.chmod(0o755)
