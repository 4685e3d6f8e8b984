"""Makes the environments of AWS's own software below ``.local/aws-software``, and runs the tests against it.

It is run with ``PYTHONPATH=.``, and takes minutes the first time: pip fetches the packages from its index.
"""

import os
import subprocess
import sys
from pathlib import Path

from include.laptop import side_environment

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


def main() -> int:
    """Make all environments, then run the tests; return pytest's exit status."""
    for name, packages in PACKAGES.items():
        side_environment.make(FOLDER / name, packages)
    command = [sys.executable, "-m", "pytest", "tests/aws_software", *sys.argv[1:]]
    return subprocess.run(command, env={**os.environ, VARIABLE: "1"}, cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
