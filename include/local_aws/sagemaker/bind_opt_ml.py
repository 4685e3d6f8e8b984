"""Shows a folder as /opt/ml and becomes another program: ``python bind_opt_ml.py FOLDER COMMAND [ARGUMENT ...]``.

To be run in a mount namespace of its own, with the right to mount. It imports nothing but the standard library.
"""

import ctypes
import os
import sys
from pathlib import Path

_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
"""Flags of mount(2)."""

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Show the folder, and execute the command."""
    folder = os.path.realpath(sys.argv[1])
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)  # nothing that is mounted here is seen elsewhere
    if not os.path.isdir("/opt/ml"):
        _add_mount_point()
    _mount(folder, "/opt/ml", None, _MS_BIND | _MS_REC)
    os.chdir(os.getcwd())
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - it is to become the command


def _add_mount_point() -> None:
    """Put a folder in memory over /opt that has what /opt has, and an empty ``ml``; the disk is left as it is."""
    below = os.open("/opt", os.O_PATH | os.O_DIRECTORY)
    entries = sorted(os.scandir(f"/proc/self/fd/{below}"), key=lambda entry: entry.name)
    _mount("tmpfs", "/opt", "tmpfs", 0)
    for entry in entries:
        shown = Path("/opt", entry.name)
        if entry.is_symlink():
            shown.symlink_to(os.readlink(entry.path))
            continue
        if entry.is_dir():
            shown.mkdir()
        else:
            shown.touch()
        _mount(entry.path, str(shown), None, _MS_BIND | _MS_REC)
    os.close(below)
    os.mkdir("/opt/ml")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    if _libc.mount(*encoded, ctypes.c_ulong(flags), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{os.strerror(number)} (mount of {source})", target)


if __name__ == "__main__":
    main()
