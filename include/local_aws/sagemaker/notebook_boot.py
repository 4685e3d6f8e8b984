"""Starts a notebook instance: ``python notebook_boot.py FOLDER PORT SECONDS [SCRIPT ...]``.

It runs the lifecycle scripts, each for so many seconds at most, and becomes the Jupyter server. What a script leaves
running lives as long as that. Where a script fails, FOLDER/failure says why.
"""

import os
import subprocess
import sys
from pathlib import Path

STREAM = "\x1elog stream: "
"""What a line begins with that names the log stream of the lines after it."""


def main() -> None:
    """Run the scripts and become the server; exits with status 1 where one fails."""
    folder, port, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    for script in map(Path, sys.argv[4:]):
        print(f"{STREAM}LifecycleConfig{script.stem}", flush=True)
        try:
            ended = subprocess.run(["bash", script], cwd=folder, stdin=subprocess.DEVNULL, timeout=seconds)
            failure = f"failed with exit status {ended.returncode}" if ended.returncode else None
        except subprocess.TimeoutExpired:
            failure = f"took longer than {seconds:g} seconds"
        if failure:
            (folder / "failure").write_text(f"the script {script.stem} {failure}")
            sys.exit(1)
    print(f"{STREAM}jupyter.log", flush=True)
    home = Path(os.environ["HOME"])
    os.execv(  # noqa: S606 - it is to become the server
        sys.executable,
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            f"--port={port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={home / 'SageMaker'}",
            "--ServerApp.allow_root=True",
            "--LabApp.extension_manager=readonly",
            # It looks for language servers, and starts node for that.
            "--ServerApp.jpserver_extensions={'jupyter_lsp': False}",
        ],
    )


if __name__ == "__main__":
    main()
