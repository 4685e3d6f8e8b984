"""The function's code as a module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

HANDLER = Path(__file__).parents[3] / "include" / "lambda_function" / "handler.py"


def import_handler() -> ModuleType:
    """Return a new module of the handler, which imports the classifier's request_body.py as it is shipped."""
    spec = importlib.util.spec_from_file_location("handler", HANDLER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HANDLER.parents[1] / "classifier")
        spec.loader.exec_module(module)
    return module
