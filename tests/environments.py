"""Environments of the models and scripts that tests run on local AWS."""

from pathlib import Path

WITHOUT_TORCH = {"PYTHONPATH": str(Path(__file__).parent / "without_torch")}
"""For a model or a script that does not use PyTorch: it starts in a fraction of the time."""
