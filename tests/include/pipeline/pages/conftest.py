"""All pages, rendered once."""

from __future__ import annotations

import pytest

from . import samples


@pytest.fixture(scope="package")
def pages() -> dict[str, str]:
    return samples.pages()
