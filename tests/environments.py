"""What the tests' models and scripts need on local AWS: an environment, and patience."""

from pathlib import Path

WITHOUT_TORCH = {"PYTHONPATH": str(Path(__file__).parent / "without_torch")}
"""For a model or a script that does not use PyTorch: it starts in a fraction of the time."""

PATIENCE = 270.0
"""How many seconds are waited for what takes long on a busy machine; pytest ends a test that hangs soon after."""
