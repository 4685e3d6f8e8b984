"""What TorchServe calls: the original project's handler, archived beside ``original.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import original


class Handler:
    """One worker's model."""

    def initialize(self, context: Any) -> None:
        self.network = original.load(Path(context.system_properties["model_dir"]))

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[list[float]]:
        """Answer the requests that TorchServe gathered."""
        return original.answer(self.network, [bytes(request["body"]) for request in requests])
