"""Where AWS's own software is: in environments that `make test-aws-software` makes, else in this one."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from tests.aws_software.environments import FOLDER, VARIABLE


@pytest.fixture(scope="session")
def awslambdaric() -> Path:
    """A Python that has AWS's Lambda runtime client; tests are skipped where there is none."""
    if VARIABLE in os.environ:
        return FOLDER / "lambda" / "bin" / "python"
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed. `make test-aws-software` makes an environment with it.")
    return Path(sys.executable)


@pytest.fixture(scope="session")
def training_toolkit() -> Path:
    """The folder of the ``train`` of AWS's training toolkit, which local AWS needs as well."""
    if VARIABLE in os.environ:
        return FOLDER / "training" / "bin"
    return Path(sys.executable).parent
