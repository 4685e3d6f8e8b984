"""Compares a data set with the version of it that was staged before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from include.pipeline.data.manifest import NAME, Manifest, read_manifest
from include.pipeline.names import split_s3_uri

MOST_NAMED = 5


@dataclass(frozen=True)
class Version:
    """A data set that was staged: where it lies, when, and its manifest."""

    folder: str
    """The key below which its images lie, with a slash at its end."""
    manifest: Manifest

    @property
    def named(self) -> str:
        """How people know it: ``0123456789abcdef of 2026-11-30``."""
        return f"{self.manifest.fingerprint} of {self.manifest.staged_at[:10]}"


def read_previous(s3: Any, home: str, fingerprint: str) -> Version | None:
    """Return the version that was staged last, other than the one with this fingerprint.

    :param home: the URI below which all versions of the project lie.
    """
    bucket, prefix = split_s3_uri(f"{home}/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    folders = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    manifests = [
        entry
        for folder in folders
        if folder != f"{prefix}{fingerprint}/"
        for entry in s3.list_objects_v2(Bucket=bucket, Prefix=f"{folder}{NAME}").get("Contents", [])
    ]
    if not manifests:
        return None
    folder = max(manifests, key=lambda entry: entry["LastModified"])["Key"].removesuffix(NAME)
    return Version(folder, read_manifest(f"s3://{bucket}/{folder.rstrip('/')}", s3))


def changes(before: Iterable[tuple[str, str]], now: Iterable[tuple[str, str]]) -> list[str]:
    """Return sentences on what differs between two versions; none if nothing does.

    :param before: ``<split>/<class>/<file>`` and SHA-256 of each image of the version before, and ``now`` of this one.
    """
    old, new = _by_content(before), _by_content(now)
    renamed = _renamed(old, new)
    added, removed = new.keys() - old.keys(), old.keys() - new.keys()
    moved: Counter[tuple[str, str]] = Counter()
    splits: Counter[tuple[str, str]] = Counter()
    other_copies = 0
    for sha256 in old.keys() & new.keys():
        labels = {renamed.get(label, label) for _, label in old[sha256]}, {label for _, label in new[sha256]}
        parts = {split for split, _ in old[sha256]}, {split for split, _ in new[sha256]}
        if labels[0] != labels[1]:
            moved[_listed(labels[0]), _listed(labels[1])] += 1
        elif parts[0] != parts[1]:
            splits[_listed(parts[0]), _listed(parts[1])] += 1
        elif len(old[sha256]) != len(new[sha256]):
            other_copies += 1
    sentences = [
        f"The class {label} is now called {other}." for label, other in sorted(renamed.items())[:MOST_NAMED]
    ]
    if len(renamed) > MOST_NAMED:
        sentences.append(f"{len(renamed) - MOST_NAMED:,} more classes have other names.")
    sentences += _counted("added", added, new)
    sentences += _counted("removed", removed, old)
    sentences += _moves(moved, "moved to another class")
    sentences += _moves(splits, "moved to another split")
    if other_copies:
        sentences.append(f"{_images(other_copies)} with another number of copies.")
    return sentences


def _by_content(images: Iterable[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for path, sha256 in images:
        split, label, _ = path.split("/", 2)
        found.setdefault(sha256, []).append((split, label))
    return found


def _renamed(
    old: Mapping[str, list[tuple[str, str]]], new: Mapping[str, list[tuple[str, str]]]
) -> dict[str, str]:
    """Classes that are gone and whose images, as far as they are still there, are all in one class that is new."""
    labels = [{label for places in version.values() for _, label in places} for version in (old, new)]
    targets: defaultdict[str, set[str]] = defaultdict(set)
    for sha256, places in old.items():
        for _, label in places:
            if label not in labels[1]:
                targets[label].update(target for _, target in new.get(sha256, ()))
    found = {label: other.copy().pop() for label, other in targets.items() if len(other) == 1}
    chosen = Counter(found.values())  # two classes that became one were merged, not renamed
    return {label: other for label, other in found.items() if other not in labels[0] and chosen[other] == 1}


def _counted(what: str, images: set[str], version: Mapping[str, list[tuple[str, str]]]) -> list[str]:
    by_class = Counter(label for sha256 in images for _, label in version[sha256])
    if not by_class:
        return []
    named = ", ".join(f"{count:,} of {label}" for label, count in _most(by_class))
    more = f" and {len(by_class) - MOST_NAMED:,} more classes" if len(by_class) > MOST_NAMED else ""
    return [f"{_images(by_class.total())} {what}: {named}{more}."]


def _moves(moves: Counter[tuple[str, str]], what: str) -> list[str]:
    if not moves:
        return []
    named = ", ".join(f"{count:,} from {a} to {b}" for (a, b), count in _most(moves))
    more = " and others" if len(moves) > MOST_NAMED else ""
    return [f"{_images(moves.total())} {what}: {named}{more}."]


def _most(counts: Counter[Any]) -> list[tuple[Any, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMED]


def _images(count: int) -> str:
    return f"{count:,} image{'s' if count != 1 else ''}"


def _listed(names: set[str]) -> str:
    return " and ".join(sorted(names))
