"""A program imports without garbage collection, and has it afterwards."""

import gc

import pytest
from image_classifier.imports import quick_imports


def test_nothing_is_collected_during_imports_and_what_they_made_never() -> None:
    frozen = gc.get_freeze_count()
    with quick_imports():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


def test_collection_is_enabled_after_a_failed_import() -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled()
