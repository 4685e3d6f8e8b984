"""A Lambda function on local AWS, deployed by the operator."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from amazon_ml.operators.lambda_function import LambdaDeployFunctionOperator


def zipped(answer: str, first: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # a fixed date, so that equal code results in equal bytes
        archive.writestr(
            zipfile.ZipInfo("app.py", (2026, 1, 1, 0, 0, 0)),
            f"{first}def handler(event, context): return {answer!r}\n",
        )
    return file.getvalue()


def deploy(
    function: str, role: str, answer: str, publish: bool = True, first: str = "", **config: Any
) -> dict[str, str]:
    """Deploy a function that returns an answer; its module runs other code first."""
    config = {
        "Runtime": "python3.12",
        "Role": role,
        "Handler": "app.handler",
        "MemorySize": 128,
        "Timeout": 300,
        "Tags": {"project": "birds"},
        **config,
    }
    return LambdaDeployFunctionOperator(
        task_id="deploy",
        function_name=function,
        config=config,
        zip_file=lambda: zipped(answer, first),
        publish=publish,
        poll_interval=0.3,
    ).execute({})


def answer_of(aws: Any, function: str, qualifier: str) -> Any:
    return json.load(aws.client("lambda").invoke(FunctionName=function, Qualifier=qualifier)["Payload"])
