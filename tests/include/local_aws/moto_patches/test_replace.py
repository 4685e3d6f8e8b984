"""Replacing a method: of each kind, twice, and of what does not exist."""

from __future__ import annotations

import re

import pytest

from include.local_aws import moto_patches
from include.local_aws.moto_patches import digests, original, replace


class Owner:
    """Stands for a class of moto."""

    def method(self, value: int) -> int:
        return value

    @classmethod
    def of_class(cls, value: int) -> tuple[str, int]:
        return cls.__name__, value

    @staticmethod
    def static(value: int) -> int:
        return value

    @property
    def shown(self) -> int:
        return 1


@pytest.fixture(autouse=True)
def nothing_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record replacements for one test, and undo them."""
    monkeypatch.setattr(moto_patches, "by_moto", {})
    for name in ("method", "of_class", "static", "shown"):
        monkeypatch.setattr(Owner, name, Owner.__dict__[name])


def test_a_replacement_can_call_the_original_which_is_called_once_if_it_is_replaced_twice() -> None:
    for _ in range(2):
        by_moto = original(Owner, "method")
        replace(Owner, "method", lambda self, value, by_moto=by_moto: by_moto(self, value) + 10)
    assert Owner().method(1) == 11


def test_the_last_replacement_counts() -> None:
    replace(Owner, "method", lambda self, value: 2)
    replace(Owner, "method", lambda self, value: 3)
    assert Owner().method(1) == 3


def test_a_class_method_a_static_method_and_a_property_stay_what_they_are() -> None:
    of_class, static, shown = (original(Owner, name) for name in ("of_class", "static", "shown"))
    replace(Owner, "of_class", lambda cls, value: of_class(cls, value + 1))
    replace(Owner, "static", lambda value: static(value + 1))
    replace(Owner, "shown", lambda self: shown(self) + 1)
    assert (Owner.of_class(1), Owner().static(1), Owner().shown) == (("Owner", 2), 2, 2)


def test_what_moto_does_not_have_is_not_replaced() -> None:
    message = rf"^moto [\d.]+ has no {re.escape(__name__)}\.Owner\.gone, which local AWS replaces\. Adapt"
    with pytest.raises(LookupError, match=message):
        replace(Owner, "gone", lambda self: None)
    with pytest.raises(LookupError, match=message):
        original(Owner, "gone")
    assert not hasattr(Owner, "gone")


def test_the_digest_is_that_of_the_original() -> None:
    name = f"{__name__}.Owner.method"
    assert digests() == {}
    replace(Owner, "method", lambda self, value: 2)
    first = digests()
    replace(Owner, "method", lambda self, value: 3)
    assert (list(first), digests()) == ([name], first)
