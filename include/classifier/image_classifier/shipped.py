"""Makes packages importable that AWS's images lack: wheels that were shipped with the code, unpacked.

They lie beside this package in the folder ``wheels``, each in a folder with the wheel's name. No job and no endpoint
installs anything.
"""

import importlib.util
import platform
import sys
from pathlib import Path

from .errors import ClassifierError

WHEELS = Path(__file__).resolve().parents[1] / "wheels"


def provide(package: str) -> None:
    """Make a package importable: the one that was shipped for this Python and machine, or else the installed one.

    :raises ClassifierError: there is neither.
    """
    for folder in sorted(WHEELS.glob("*")):
        if (folder / package).is_dir() and _fits(folder.name):
            if str(folder) not in sys.path:
                sys.path.insert(0, str(folder))
            return
    if importlib.util.find_spec(package) is None:
        raise ClassifierError(
            f"The package {package} is not installed, and no wheel of it for Python "
            f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform} {platform.machine()} was shipped "
            "with the code."
        )


def _fits(wheel: str) -> bool:
    """Return whether this Python can import from a wheel, by the tags that its name ends in."""
    python, abi, platforms = wheel.split("-")[-3:]
    minor = sys.version_info.minor
    if platforms != "any":
        here = any(
            tag.startswith("manylinux") and tag.endswith(f"_{platform.machine()}")
            for tag in platforms.split(".")
        )
        if sys.platform != "linux" or not here:
            return False
    if abi == "abi3":  # for this Python and all later ones
        return any(int(tag.removeprefix("cp3")) <= minor for tag in python.split("."))
    return abi in ("none", f"cp3{minor}")
