"""Every page in a browser, with the content security policy of Airflow: narrow and wide, light and dark."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests import chromium

from . import samples

URL = "http://pages.test/report.html"
WIDTHS = (400, 1400)
SCHEMES = ("light", "dark")
# The dark pages differ in their colors alone, which are the same on every screen.
COLORS = {"runOnly": ["color-contrast"]}
# All screens show the same elements. On a narrow one, more of them scroll.
SCROLLING = {"runOnly": ["scrollable-region-focusable"]}

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium.running() as browser:
        yield browser


def policy(text: str) -> str:
    """Return the content security policy of a page: it allows images and the inline stylesheet."""
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{digest}'"


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": WIDTHS[-1], "height": 900})
    yield context.new_page()
    context.close()


def show(tab: Any, text: str) -> list[str]:
    """Open a page, and return the list to which the browser's errors are added."""
    complaints: list[str] = []
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy(text)}

    def answer(route: Any) -> None:
        if route.request.url == URL:
            route.fulfill(body=text, headers=headers)
        else:
            complaints.append(f"The page loads {route.request.url[:200]}")
            route.abort()

    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("dialog", lambda dialog: complaints.append(dialog.message))
    tab.route("**/*", answer)
    tab.goto(URL)
    return complaints


def violations(tab: Any, **options: Any) -> list[tuple[str, str]]:
    """Return the rules of axe that the page breaks, each with an element. The page must contain axe."""
    found = tab.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **options})
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found["violations"]]


@pytest.mark.parametrize("name", samples.NAMES_OF_PAGES)
def test_a_page_fits_every_screen_loads_nothing_and_can_be_read_by_everyone(
    tab: Any, pages: dict[str, str], name: str
) -> None:
    from axe_playwright_python.base import AXE_SCRIPT

    complaints = show(tab, pages[name])
    tab.evaluate(AXE_SCRIPT)
    for scheme in SCHEMES:
        tab.emulate_media(color_scheme=scheme)
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            if width != WIDTHS[-1]:
                assert violations(tab, **SCROLLING) == []
            elif scheme == "light":
                assert violations(tab) == []
            else:
                assert violations(tab, **COLORS) == []
            # Not by wait_for_function, which the policy of the pages forbids to evaluate text.
            while not tab.evaluate("Array.from(document.images).every(image => image.complete)"):
                tab.wait_for_timeout(50)
            broken = "Array.from(document.images).filter(i => !i.naturalWidth).map(i => i.alt)"
            assert tab.evaluate(broken) == [], scheme
    assert complaints == []


def test_a_chart_follows_the_color_scheme(browser: Any, pages: dict[str, str]) -> None:
    shown = {}
    for scheme in SCHEMES:
        context = browser.new_context(color_scheme=scheme)
        tab = context.new_page()
        show(tab, pages["tuning"])
        shown[scheme] = tab.evaluate("document.querySelector('picture img').currentSrc")
        context.close()
    assert shown["light"] != shown["dark"]


def test_a_page_is_printed_in_light_colors(browser: Any, pages: dict[str, str]) -> None:
    context = browser.new_context(color_scheme="dark")
    tab = context.new_page()
    show(tab, pages["run"])
    tab.emulate_media(media="print", color_scheme="dark")
    color = tab.evaluate("getComputedStyle(document.documentElement).color")
    context.close()
    assert color == "rgb(31, 39, 51)"
