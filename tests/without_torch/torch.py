"""Stands for PyTorch in processes of AWS's toolkits that import it and do not compute with it.

To import the real one takes most of the time of a small model's process, or of a small training job's.
"""

__version__ = "2.0.0"


class cuda:
    """No GPU."""

    @staticmethod
    def is_available() -> bool:
        """Return False."""
        return False


def seed() -> int:
    """Seed nothing."""
    return 0


def __getattr__(name: str) -> None:
    """Refuse everything else, so that what needs PyTorch, such as torchvision, cannot be imported.

    :raises ImportError: AttributeError for the names that Python itself looks for
    """
    raise (AttributeError if name.startswith("__") else ImportError)(f"This is no PyTorch: it has no {name}.")
