"""Reads the names of files as they were meant, whichever system and program wrote them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from include.pipeline.data.errors import DatasetError

# In zips without the UTF-8 flag, and in tars and folders whose names are no UTF-8: Windows and DOS of the West, Japan,
# Russia, China, Korea and Taiwan.
ENCODINGS = ("cp437", "cp850", "cp1252", "cp932", "cp866", "cp1251", "gb2312", "euc_kr", "big5")
EAST_ASIAN = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"}
PUNCTUATION = "\N{RIGHT SINGLE QUOTATION MARK}\N{LEFT SINGLE QUOTATION MARK}\N{EN DASH}\N{EM DASH}"


def meant_names(
    names: list[str], raw: Mapping[int, bytes] | None = None, from_windows: bool = False
) -> tuple[list[str], list[str]]:
    """Return the names as they were meant, and sentences on what was read otherwise than it is written.

    :param names: with ``/`` between folders.
    :param raw: the bytes of those names, by their position, whose encoding is not known.
    :param from_windows: whether the program that wrote them ran on Windows.
    :raises DatasetError: if the names of folders can be read in two ways.
    """
    notes = []
    meant = list(names)
    if raw:
        encoding = _encoding(list(raw.values()))
        for position, content in raw.items():
            meant[position] = content.decode(encoding, "backslashreplace")
        notes.append(_note(len(raw), "no known encoding", encoding))
    backslashes = [position for position, name in enumerate(meant) if "\\" in name]
    if backslashes and (from_windows or not any("/" in name for name in meant)):
        for position in backslashes:
            meant[position] = meant[position].replace("\\", "/")
        notes.append(_note(len(backslashes), "backslashes", "paths of folders"))
    decomposed = 0
    for position, name in enumerate(meant):
        if not name.isascii() and (composed := unicodedata.normalize("NFC", name)) != name:
            meant[position] = composed
            decomposed += 1
    if decomposed:
        notes.append(_note(decomposed, "decomposed letters (NFD)", "composed ones (NFC)"))
    return meant, notes


def undecoded(names: Iterable[str]) -> dict[int, bytes]:
    """Return the bytes of names that are no UTF-8, of which Python keeps the bytes as halves of characters."""
    return {
        position: name.encode("utf-8", "surrogateescape")
        for position, name in enumerate(names)
        if not name.isascii() and any("\udc80" <= letter <= "\udcff" for letter in name)
    }


def _encoding(names: list[bytes]) -> str:
    """Return the encoding in which all names are words, if it is the only one.

    :raises DatasetError: if folders have other names in another encoding, or are words in none.
    """
    # The names of files are nobody's label.
    folders = sorted({name.replace(b"\\", b"/").rpartition(b"/")[0] for name in names if name})
    readings: dict[tuple[str, ...], str] = {}
    for encoding in ("utf-8", *ENCODINGS):
        try:
            decoded = tuple(folder.decode(encoding) for folder in folders)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" and all(_decodes(name, "utf-8") for name in names):
            return encoding
        if all(map(_is_of_words, decoded)):
            readings.setdefault(decoded, encoding)
    if len(readings) == 1:
        (only,) = readings
        whole = (one for one in (readings[only], *ENCODINGS) if all(_decodes(name, one) for name in names))
        if all(folder.isascii() for folder in only):
            return next(whole, readings[only])
        return readings[only]
    shown = folders[0] if folders else names[0]
    position = next((n for n, folder in enumerate(folders) if not folder.isascii()), 0)
    if not readings:
        shown = folders[position] if folders else shown
        raise DatasetError(
            f"The folder {shown.decode('ascii', 'backslashreplace')} has a name in an unknown encoding. Pack the "
            "archive again with names in UTF-8, or rename the folder."
        )
    first, second = list(readings.items())[:2]
    at = next(n for n, (one, other) in enumerate(zip(first[0], second[0], strict=True)) if one != other)
    raise DatasetError(
        f"The source does not say in which encoding its names are: a folder is {first[0][at]} in {first[1]}, and "
        f"{second[0][at]} in {second[1]}. Pack it again with names in UTF-8, or rename the folder."
    )


def _decodes(name: bytes, encoding: str) -> bool:
    try:
        name.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _is_of_words(text: str) -> bool:
    """Return whether what is not ASCII is letters, of one script in each word, and small ones after small ones."""
    script, before = "", ""
    for letter in text:
        if not letter.isalpha() and unicodedata.category(letter) not in ("Mn", "Mc"):
            if not letter.isascii() and letter not in PUNCTUATION:
                return False
            script, before = "", ""
            continue
        own = _script(letter)
        if own is None or (script and own != script):
            return False
        if before and not (letter + before).isascii() and before.islower() and letter.isupper():
            return False
        script, before = own, letter
    return True


def _script(letter: str) -> str | None:
    if letter.isascii():
        return "LATIN"
    name = unicodedata.name(letter, "").split(" ")[0]
    if name in EAST_ASIAN:
        return "EAST ASIAN"
    known = name in ("LATIN", "GREEK", "CYRILLIC", "HANGUL", "COMBINING")
    return name if known and unicodedata.category(letter) != "Lm" else None


def _note(count: int, what: str, read_as: str) -> str:
    if count == 1:
        return f"1 name has {what} and is read as {read_as}."
    return f"{count:,} names have {what} and are read as {read_as}."
