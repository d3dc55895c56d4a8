"""A real browser without a window, and a page that is open in it.

Needs Chromium and the package playwright (the extra `browser`), which drives it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

WIDTH, HEIGHT = 1200, 900


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright: extra `browser`")
    programs = ("chromium", "chromium-browser", "google-chrome", "chrome")
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        pytest.skip(f"needs one of {', '.join(programs)}")
    with playwright.sync_playwright() as driver:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = driver.chromium.launch(executable_path=program, args=flags)
        yield opened
        opened.close()


class WatchedPage:
    """A page with everything it complains of and asks for."""

    def __init__(self, browser, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def until(self, expression: str, value: object = None) -> None:
        """Wait until an expression, or a function of `value`, is true: policies forbid what Playwright has for this."""
        for _ in range(600):
            if self.page.evaluate(expression, value):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")


class OpenPage(WatchedPage):
    """A page of a file, open; it complains of requests that fail, too."""

    def __init__(self, browser, file: Path, **options) -> None:
        super().__init__(browser, **options)
        self.page.on("requestfailed", self.failed)
        self.page.goto(file.as_uri())
        self.page.wait_for_load_state()

    def failed(self, request) -> None:
        if request.failure != "net::ERR_ABORTED":  # an image that was replaced before it was loaded
            self.complaints.append(f"{request.url}: {request.failure}")
