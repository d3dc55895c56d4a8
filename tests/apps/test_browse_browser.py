"""The page of samples in a real browser: switch, zoom, slider, dark and small screens; it asks no network for anything.

Needs Chromium and the package playwright (the extra `browser`), which drives it.
"""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import srtoolbox
from srtoolbox.apps.browse import Browsed, browse
from srtoolbox.resize import imresize
from tests.apps.browsing import OpenPage, browser
from tests.apps.test_browse import config_of, gt_only, pipeline

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.slow
READ_CANVAS = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"


@pytest.fixture(scope="module")
def browsed(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Browsed:
    folder = tmp_path_factory.mktemp("page with spaces #1 %41")
    page = folder / "data.html"
    for number, file in enumerate(sorted(photo_folder.iterdir())):
        (folder / "gt").mkdir(exist_ok=True)
        shutil.copy(file, folder / "gt" / f"<img src=x onerror=window.broken=1> & {number}.png")
    config = config_of(gt_only(folder / "gt"), preprocess=pipeline(sharpen=dict(type="USMSharpening")))
    return srtoolbox.browse_data(config, page, count=5, samples=40, severity=21, like=photo_folder)


@pytest.fixture
def visit(browser, browsed: Browsed) -> Iterator[OpenPage]:
    opened = OpenPage(browser, browsed.page)
    yield opened
    opened.context.close()
    assert opened.complaints == []
    assert all(url == browsed.page.as_uri() or url.startswith("data:") for url in opened.requests)


def pixels(source: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB"))


def test_all_images_appear_lq_to_the_bit(visit: OpenPage, browsed: Browsed) -> None:
    page = visit.page
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    assert page.evaluate("window.broken === undefined")
    cards = page.locator(".sample")
    assert cards.count() == 5
    for number, sample in enumerate(browsed.samples):
        images = cards.nth(number).locator("img")
        assert images.count() == 3
        assert np.array_equal(pixels(images.first.get_attribute("src")), sample.lq)
        sizes = [images.nth(place).bounding_box() for place in range(3)]
        assert len({(size["width"], size["height"]) for size in sizes}) == 1
        assert sample.key in cards.nth(number).inner_text() and "first.bright" in cards.nth(number).inner_text()


def test_the_switch_enlarges_by_bicubic(visit: OpenPage, browsed: Browsed) -> None:
    page = visit.page
    page.select_option("#kernel", "bicubic")
    visit.until("document.querySelectorAll('.row canvas').length === document.querySelectorAll('img.lq').length")
    assert not page.locator(".row img.lq").first.is_visible()
    for number, sample in enumerate(browsed.samples[:2]):
        canvas = page.locator(".sample").nth(number).locator("canvas")
        levels = np.array(canvas.evaluate(READ_CANVAS)).reshape(*sample.images["gt"].shape[:2], 4)[..., :3]
        assert np.array_equal(levels, imresize(sample.lq, size=sample.images["gt"].shape[:2]))
    page.select_option("#kernel", "nearest")
    assert page.locator(".row img.lq").first.is_visible() and not page.locator(".row canvas").first.is_visible()


def test_the_slider_goes_from_mild_to_severe(visit: OpenPage, browsed: Browsed) -> None:
    page = visit.page
    slider = page.locator("#severity-slider")
    assert page.inner_text("#severity-value") == "more severe than 50 % of the draws"
    slider.focus()
    page.keyboard.press("Home")
    for level in range(len(browsed.ladders[0].levels)):
        assert slider.input_value() == str(level)
        for number, ladder in enumerate(browsed.ladders):
            root = page.locator(f"#ladder-{number}")
            assert np.array_equal(pixels(root.locator(".degraded").get_attribute("src")), ladder.levels[level].lq)
            assert root.locator(".psnr").inner_text() == f"{ladder.levels[level].psnr:.1f} dB"
            assert root.locator(".steps li").count() == len(ladder.levels[level].steps)
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#severity-value") == "the most severe draw"
    page.select_option("#kernel", "bicubic")
    page.keyboard.press("Home")
    slider.focus()
    page.keyboard.press("Home")
    mildest = browsed.ladders[0].levels[0].lq
    source = page.locator("#ladder-0 .degraded").get_attribute("src")
    visit.until("s => document.querySelector('#ladder-0 canvas').dataset.source === s", source)
    levels = np.array(page.locator("#ladder-0 canvas").first.evaluate(READ_CANVAS)).reshape(32, 32, 4)[..., :3]
    assert np.array_equal(levels, imresize(mildest, size=(32, 32)))


def test_the_zoom_counts_for_all_images(visit: OpenPage) -> None:
    page = visit.page
    page.select_option("#zoom", "2")
    boxes = [page.locator(".row img").nth(place).bounding_box() for place in range(4)]
    assert {(box["width"], box["height"]) for box in boxes} == {(64, 64)}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_statistics_and_photographs_are_drawn_on_small_screens_too(browser, browsed: Browsed, scheme: str) -> None:
    options = {"viewport": {"width": 360, "height": 740}, "color_scheme": scheme}
    opened = OpenPage(browser, browsed.page, **options)
    page = opened.page
    assert page.locator("#statistics svg").count() == 3  # crops of 16 px are too small for blocks
    assert page.locator("#statistics .others").count() == 3
    assert page.locator("#severity-slider").bounding_box()["width"] > 250
    assert page.locator(".strip").nth(0).locator("img").count() == browse.PHOTOS
    assert page.locator("#parameters svg").count() >= 5
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0
    opened.context.close()
    assert opened.complaints == []
