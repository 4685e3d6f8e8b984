"""Makes the environments of AWS's own software below ``.local/aws-software``, and runs the tests against it.

``python tests/aws_software/environments.py`` takes minutes the first time: pip fetches the packages from its index.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

VARIABLE = "TEST_AWS_SOFTWARE"
"""Set while the tests run against these environments."""

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".local" / "aws-software"
PACKAGES = {
    # The newest client, and the boto3 of Lambda's Python 3.12 at the time.
    "lambda": ("awslambdaric==4.2.2", "boto3==1.40.76"),
    # What AWS's PyTorch 2.6 image installs for script mode; tests/without_torch stands for PyTorch.
    "training": ("sagemaker-training==5.1.4", "sagemaker-pytorch-training==3.0.0", "setuptools<82"),
}


def make(name: str) -> None:
    """Make an environment, if there is none with these packages."""
    folder = FOLDER / name
    done = folder / "installed.txt"
    wanted = "\n".join(PACKAGES[name])
    if done.is_file() and done.read_text() == wanted:
        return
    print(f"Making {folder.relative_to(REPOSITORY)} with {', '.join(PACKAGES[name])}", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True
    )
    done.write_text(wanted)


def main() -> int:
    """Make all environments, then run the tests; return pytest's exit status."""
    for name in PACKAGES:
        make(name)
    command = [sys.executable, "-m", "pytest", "tests/aws_software", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, VARIABLE: "1"}, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
