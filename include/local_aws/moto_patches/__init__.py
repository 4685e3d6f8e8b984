"""Replaces methods of moto.

Each module has the replacements for one service. :mod:`include.local_aws.moto_patches.apply` applies all of them.
"""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any

import moto

by_moto: dict[tuple[type, str], Any] = {}
"""The original of each replaced method."""


def replace(owner: type, name: str, function: Callable[..., Any]) -> None:
    """Replace a method of moto; a class method, static method or property keeps its kind.

    A second call replaces the first replacement.

    :raises LookupError: if moto has no such method
    """
    kept = by_moto.setdefault((owner, name), _find(owner, name))
    kind = type(kept) if isinstance(kept, classmethod | staticmethod | property) else None
    setattr(owner, name, function if kind is None else kind(function))


def original(owner: type, name: str) -> Callable[..., Any]:
    """Return the function of moto's own method, whether or not it is replaced.

    :raises LookupError: if moto has no such method
    """
    kept = by_moto.get((owner, name)) or _find(owner, name)
    function: Callable[..., Any] = getattr(kept, "fget", getattr(kept, "__func__", kept))
    return function


def digests() -> dict[str, str]:
    """Return the SHA-256 digest of the source of each method that is replaced, by its full name."""
    return {
        _full_name(owner, name): hashlib.sha256(inspect.getsource(original(owner, name)).encode()).hexdigest()
        for owner, name in sorted(by_moto, key=lambda key: _full_name(*key))
    }


def _find(owner: type, name: str) -> Any:
    try:
        return inspect.getattr_static(owner, name)
    except AttributeError:
        raise LookupError(
            f"moto {moto.__version__} has no {_full_name(owner, name)}, which local AWS replaces. Adapt the "
            "replacement in include/local_aws/moto_patches to this version."
        ) from None


def _full_name(owner: type, name: str) -> str:
    return f"{owner.__module__}.{owner.__qualname__}.{name}"
