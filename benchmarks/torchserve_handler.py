"""The handler for TorchServe: the original project's handler, archived with ``original.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import original


class Handler:
    """The model of one worker."""

    def initialize(self, context: Any) -> None:
        self.network = original.load(Path(context.system_properties["model_dir"]))

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[list[float]]:
        """Classify a batch of requests from TorchServe."""
        return original.answer(self.network, [bytes(request["body"]) for request in requests])
