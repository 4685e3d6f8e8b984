"""Which files of a data set are images, and which are litter: the same for the data check and for training.

The pipeline imports it where there is no PyTorch: so it needs none.
"""

import functools
import re

# Whatever the ending, the content decides how a file is decoded.
EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".jif",
    ".pjpeg",
    ".mpo",
    ".png",
    ".apng",
    ".webp",
    ".bmp",
    ".dib",
    ".gif",
    ".tif",
    ".tiff",
)

CONVERTED_EXTENSIONS = (".heic", ".heif", ".hif", ".avif")
"""Formats that AWS's container images can't decode: the data check converts them, and training never sees them."""

UNREAD_EXTENSIONS = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".srw"),
    *(".jp2", ".j2k", ".jpf", ".jxl", ".jxr", ".exr", ".hdr", ".ico", ".icns", ".pcx", ".tga"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".dcm", ".psd", ".svg", ".eps", ".xcf", ".ai"),
)
"""Images of formats that are not read; a file with such an ending was meant as an image."""

ARCHIVE_EXTENSIONS = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
"""Files that may hold images, which are not unpacked from them."""

LITTER_FOLDERS = {
    "$recycle.bin",
    ".cache",
    ".dvc",
    ".fseventsd",
    ".git",
    ".hg",
    ".idea",
    ".ipynb_checkpoints",
    ".picasaoriginals",
    ".spotlight-v100",
    ".svn",
    ".temporaryitems",
    ".thumbnails",
    ".trash",
    ".trashes",
    ".venv",
    ".vscode",
    "@eadir",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
}
LITTER_FILES = {
    ".apdisk",
    ".directory",
    ".ds_store",
    ".gitattributes",
    ".gitignore",
    ".gitkeep",
    ".keep",
    ".localized",
    ".nomedia",
    ".picasa.ini",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "picasa.ini",
    "thumbs.db",
}
# "._name" is what macOS writes beside a file; ".Trash-1000" is a Linux desktop's, ".~lock.name#" an open document's.
_litter = re.compile(r"\._.*|\.trash-\d+|\.~lock\..*|\.nfs[0-9a-f]+|~\$.*", re.DOTALL)


def is_litter(path: str) -> bool:
    """Return whether a file or folder is what operating systems and tools leave behind, such as .DS_Store."""
    folder, _, name = path.lower().rstrip("/").rpartition("/")
    return (
        name in LITTER_FILES
        or name in LITTER_FOLDERS
        or _litter.fullmatch(name) is not None
        or _is_in_litter(folder)
    )


@functools.lru_cache(maxsize=1_000)
def _is_in_litter(folder: str) -> bool:
    return any(name in LITTER_FOLDERS or _litter.fullmatch(name) for name in folder.split("/"))


def extension(path: str) -> str:
    """Return the ending of a file's name in small letters, with its dot; empty if there is none."""
    name = path.rpartition("/")[2]
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""
