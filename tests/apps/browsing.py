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


class OpenPage:
    """An open page with everything it complained of and asked for."""

    def __init__(self, browser, file: Path, **options) -> None:
        self.context = browser.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}, **options})
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", self.failed)
        self.page.goto(file.as_uri())
        self.page.wait_for_load_state()

    def failed(self, request) -> None:
        if request.failure != "net::ERR_ABORTED":  # an image that was replaced before it was loaded
            self.complaints.append(f"{request.url}: {request.failure}")
