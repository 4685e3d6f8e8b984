"""The function's code as one file, for tests that deploy a single file: in its package it has two."""

from __future__ import annotations

from pathlib import Path

INCLUDE = Path(__file__).parents[3] / "include"


def source() -> str:
    """Return the handler's source, with the module that is shipped beside it inside of it."""
    beside = (INCLUDE / "classifier" / "image_classifier" / "request_body.py").read_text()
    handler = (INCLUDE / "lambda_function" / "handler.py").read_text()
    lines = [
        "import sys, types",
        "package = sys.modules['image_classifier'] = types.ModuleType('image_classifier')",
        "package.request_body = types.ModuleType('request_body')",
        f"exec({beside!r}, package.request_body.__dict__)",
        "import boto3",
    ]
    return handler.replace("import boto3", "\n".join(lines), 1)
