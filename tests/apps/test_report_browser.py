"""The report in a real browser without a window: sliders, zoom, tables, keyboard, touch, small and dark screens.

Needs Chromium and the package playwright (the extra `browser`), which drives it.
"""

from __future__ import annotations

import argparse
import io
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from srtoolbox.apps.report.contents import MetricFacts, NetworkEntry, PageSet, RunFacts
from srtoolbox.apps.report.page import render
from srtoolbox.cli import main
from srtoolbox.image import read_image
from srtoolbox.plots.panels import error_map
from tests.apps.browsing import OpenPage, browser
from tests.apps.report_maker import NAMES, make_images, train

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.slow
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report with spaces #1 %41")
    config, checkpoints = train(folder, make_images(folder / "images"))
    assert main(["test", str(config), *map(str, checkpoints), "--report", str(folder / "report")]) == 0
    return folder / "report"


@pytest.fixture(scope="module")
def planar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with a perception-distortion plane."""
    folder = tmp_path_factory.mktemp("planar")
    config, checkpoints = train(folder, make_images(folder / "images"))
    distance = {"type": "FeatureDistance", "backbone": "squeezenet1_0", "layers": ["fire4"], "weights": "random"}
    look = f"data.val.metrics.look={distance}"
    assert main(["test", str(config), *map(str, checkpoints), look, "--report", str(folder / "report")]) == 0
    return folder / "report"


class Visit(OpenPage):
    """A report's page: what its stage shows."""

    def images(self) -> list[dict]:
        script = "all => all.map(i => ({src: i.src, transform: i.style.transform, width: i.naturalWidth}))"
        return self.page.eval_on_selector_all(".stage img", script)

    def view(self) -> tuple[float, float, float]:
        """(shift x, shift y, zoom) of the images in the stage, all the same."""
        (transform,) = {image["transform"] for image in self.images()}
        found = re.fullmatch(r"translate\((.+)px, (.+)px\) scale\((.+)\)", transform)
        return tuple(map(float, found.groups()))

    def divider(self) -> float:
        return float(self.page.eval_on_selector(".stage", "stage => stage.style.getPropertyValue('--divider')")[:-1])

    def pane(self, number: int = 0) -> dict:
        self.page.locator(".stage").scroll_into_view_if_needed()
        return self.page.locator(".pane").nth(number).bounding_box()

    def column(self, number: int) -> list[str]:
        script = "(rows, n) => rows.map(row => row.cells[n].textContent)"
        return self.page.eval_on_selector_all(".sortable tbody tr", script, number)


@pytest.fixture
def visit(browser, report: Path) -> Iterator[Visit]:
    opened = Visit(browser, report / "index.html")
    yield opened
    opened.context.close()
    assert opened.complaints == []
    assert all(url.startswith((report.as_uri(), "data:")) for url in opened.requests)


def test_all_images_of_all_names_appear(visit: Visit) -> None:
    page = visit.page
    page.select_option(".view", "all")
    seen = set()
    for _ in NAMES:
        page.evaluate("Promise.all([...document.querySelectorAll('.stage img')].map(i => i.decode()))")
        assert len(visit.images()) == 5
        seen.add(page.eval_on_selector(".image", "select => select.selectedOptions[0].textContent"))
        page.click(".next")
    assert seen == set(NAMES)
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")  # fails at one that is not there
    assert page.evaluate("document.images.length") > 20 and page.evaluate("window.broken === undefined")


def test_the_slider_moves_by_mouse_and_keyboard_and_shows_both(visit: Visit) -> None:
    page, pane = visit.page, visit.pane()
    assert visit.divider() == 50
    page.mouse.move(pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2)
    page.mouse.down()
    page.mouse.move(pane["x"] + pane["width"] * 0.8, pane["y"] + 50, steps=4)
    page.mouse.up()
    assert visit.divider() == pytest.approx(80, abs=0.5)
    page.mouse.move(pane["x"] + pane["width"] * 0.1, pane["y"] + 50)
    assert visit.divider() == pytest.approx(80, abs=0.5)
    page.focus(".divider")
    page.keyboard.press("Home")
    assert visit.divider() == 0
    page.focus(".stage")
    page.keyboard.press("ArrowRight")
    assert visit.divider() == 2
    clip = "layers => getComputedStyle(layers[1]).clipPath"
    assert page.eval_on_selector_all(".layer", clip) == "inset(0px 98% 0px 0px)"
    page.select_option(".left", label="Input, nearest")
    page.select_option(".right", label="Truth")
    sources = [image["src"].rpartition("/")[2] for image in visit.images()]
    assert sources == ["truth.png", "input.png"]  # the left one lies above, cut at the divider
    page.click(".swap")
    assert [image["src"].rpartition("/")[2] for image in visit.images()] == ["input.png", "truth.png"]


def test_what_is_seen_whole_stays_whole_in_other_views(visit: Visit) -> None:
    for kind in ("pair", "all", "slider"):
        visit.page.select_option(".view", kind)
        pane = visit.pane()
        height, width = (round(float(size) * visit.view()[2], 1) for size in (60, 72))
        assert width <= pane["width"] + 1 and height <= pane["height"] + 1
        assert max(width - pane["width"], height - pane["height"]) > -1
    visit.page.set_viewport_size({"width": 500, "height": 700})
    until(lambda: visit.view()[2] * 72 <= visit.pane()["width"] + 0.5)


@pytest.mark.parametrize(("kind", "panes"), [("slider", 1), ("pair", 2), ("all", 5), ("difference", 1)])
def test_the_wheel_zooms_all_panes_around_the_pointer(visit: Visit, kind: str, panes: int) -> None:
    page = visit.page
    page.select_option(".view", kind)
    assert page.locator(".pane").count() == panes
    pane = visit.pane(panes - 1)
    point = (pane["width"] * 0.3, pane["height"] * 0.6)
    before = visit.view()
    held = [(at - shift) / before[2] for at, shift in zip(point, before[:2], strict=True)]
    page.mouse.move(pane["x"] + point[0], pane["y"] + point[1])
    page.mouse.wheel(0, -400)
    until(lambda: visit.view()[2] != before[2])
    x, y, zoom = visit.view()
    assert zoom > 1.5 * before[2]
    assert [(at - shift) / zoom for at, shift in zip(point, (x, y), strict=True)] == pytest.approx(held, abs=0.25)
    page.mouse.down()
    page.mouse.move(pane["x"] + point[0] - 20, pane["y"] + point[1] - 10, steps=3)
    page.mouse.up()
    assert visit.view() == pytest.approx((x - 20, y - 10, zoom), abs=0.6)
    page.mouse.wheel(0, 5000)
    until(lambda: visit.view() == pytest.approx(before, abs=0.01))


def until(happened: Callable[[], bool]) -> None:
    """Wait for what the browser does in its own time: wheel events are answered before they are handled."""
    for _ in range(100):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 5 seconds")


def test_keys_zoom_move_and_turn(visit: Visit) -> None:
    page = visit.page
    visit.pane()
    page.focus(".stage")
    fitting = visit.view()
    page.keyboard.press("+")
    page.keyboard.press("+")
    x, y, zoom = visit.view()
    assert zoom == pytest.approx(1.25**2 * fitting[2], rel=1e-4)  # browsers tell six digits
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert visit.view()[0] < x - 50 and visit.view()[1] < y - 50
    page.keyboard.press("-")
    assert visit.view()[2] == pytest.approx(1.25 * fitting[2], rel=1e-4)
    page.keyboard.press("0")
    assert visit.view() == pytest.approx(fitting)
    page.keyboard.press("n")
    assert page.input_value(".image") == "1"
    page.keyboard.press("p")
    assert page.input_value(".image") == "0"
    for _ in range(40):
        page.keyboard.press("+")
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    assert visit.view() == pytest.approx((0, 0, 32))  # stops at the image's corner and the largest zoom


def test_the_tab_key_reaches_controls_and_tables(visit: Visit) -> None:
    page = visit.page
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    wanted = {
        "wide",
        "image",
        "view",
        "left",
        "right",
        "swap",
        "in",
        "out",
        "fit",
        "whole",
        "stage slider",
        "divider",
    }
    assert wanted | {"divider", "BUTTON", "open", "show"} <= reached


def test_fingers_pinch_and_drag(browser, report: Path) -> None:
    visit = Visit(browser, report / "index.html", **PHONE)
    visit.page.select_option(".view", "pair")
    pane, before = visit.pane(), visit.view()
    session = visit.context.new_cdp_session(visit.page)
    middle = (pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2)

    def touch(kind: str, *distances: float) -> None:
        points = [{"x": middle[0] + d, "y": middle[1], "id": number} for number, d in enumerate(distances)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -30, 30)
    for distance in (35, 45, 60):
        touch("touchMove", -distance, distance)
    touch("touchEnd")
    zoomed = visit.view()
    assert zoomed[2] == pytest.approx(2 * before[2], rel=0.02)
    touch("touchStart", 0)
    for distance in (5, 20, 40):
        touch("touchMove", distance)
    touch("touchEnd")
    moved = visit.view()
    assert moved[2] == zoomed[2] and moved[0] == pytest.approx(zoomed[0] + 40, abs=1)
    assert visit.complaints == []
    visit.context.close()


def test_a_crop_is_shown_in_its_image(visit: Visit) -> None:
    page = visit.page
    button = page.locator("button.show").first
    left, top, width, height = map(int, button.get_attribute("data-region").split())
    button.click()
    assert page.input_value(".image") == button.get_attribute("data-image")
    x, y, zoom = visit.view()
    pane = visit.pane()
    seen = [-x / zoom, -y / zoom, (pane["width"] - x) / zoom, (pane["height"] - y) / zoom]
    assert seen[0] <= left and seen[1] <= top and seen[2] >= left + width - 0.1 and seen[3] >= top + height - 0.1


def test_a_name_in_the_table_opens_its_image(visit: Visit) -> None:
    visit.page.locator("button.open").nth(3).click()
    assert visit.page.input_value(".image") == "3"


def test_differences_have_the_colours_of_error_maps(visit: Visit, report: Path) -> None:
    page = visit.page
    page.select_option(".view", "difference")
    page.select_option(".right", label="Truth")
    page.click(".whole")
    files = [Path(unquote(image["src"].removeprefix("file://"))) for image in visit.images()]
    for levels in ("8", "32", "255"):
        page.select_option(".levels", levels)
        visit.page.add_style_tag(content=".caption { display: none }")
        pane = visit.pane()
        shot = np.array(Image.open(io.BytesIO(page.locator(".pane").screenshot())).convert("RGB"))
        expected = error_map(*map(read_image, files), peak=int(levels))
        x, y, zoom = visit.view()
        places = [np.floor((np.arange(shot.shape[i]) + 0.5 - s) / zoom).astype(int) for i, s in ((0, y), (1, x))]
        inside = [(place >= 0) & (place < expected.shape[i]) for i, place in enumerate(places)]
        seen = shot[inside[0]][:, inside[1]]
        wanted = expected[places[0][inside[0]]][:, places[1][inside[1]]]
        assert seen.shape[1] > 60 and pane["width"] > 60
        assert np.median(np.abs(seen.astype(int) - wanted)) <= 4
        assert wanted.std() > 5 or levels == "255"


def test_tables_sort_by_click_and_key(visit: Visit) -> None:
    page, heads = visit.page, visit.page.locator(".sortable thead button")
    values = [float(text.rstrip("★ best")) for text in visit.column(1)]
    assert values != sorted(values)
    heads.nth(1).click()
    assert [float(text) for text in visit.column(1)] == sorted(values)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    heads.nth(1).focus()
    page.keyboard.press("Enter")
    assert [float(text) for text in visit.column(1)] == sorted(values, reverse=True)
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    heads.nth(0).focus()
    page.keyboard.press("Space")
    assert page.locator("th[aria-sort]").count() == 1
    names = visit.column(0)
    assert names[-1].startswith("ünï")
    page.keyboard.press("Space")
    assert visit.column(0) == names[::-1]


def test_infinite_and_missing_numbers_sort_to_their_ends(browser, tmp_path: Path) -> None:
    values = {"e": 9.5, "a": math.inf, "b": math.nan, "c": 10.25, "f": -math.inf, "d": 100.0}
    facts = RunFacts("c.py", [], "cpu", "", {}, {"N": NetworkEntry("N", "N", 1)}, {}, {"s": 3})
    facts.metrics["m"] = MetricFacts("PSNR", "rgb", True, 0, True)
    results = {"N": {"s": {name: {"m": value} for name, value in values.items()}}}
    html = render(facts, [PageSet("s", 3, 6, "m", {" input": "Input", "N": "N"}, [])], results)
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    visit = Visit(browser, tmp_path / "index.html")
    button = visit.page.locator(".sortable thead button").nth(1)
    button.click()
    assert visit.column(0) == list("fecdab")
    button.click()
    assert visit.column(0) == list("adcefb")
    assert visit.complaints == []
    visit.context.close()


@pytest.mark.parametrize("kind", ["slider", "pair", "all", "difference"])
def test_a_phone_shows_it_without_sideways_scrolling(browser, report: Path, kind: str) -> None:
    visit = Visit(browser, report / "index.html", **PHONE)
    visit.page.select_option(".view", kind)
    widths = "[document.documentElement.scrollWidth, document.body.scrollWidth, visualViewport.width]"
    assert max(visit.page.evaluate(widths)) <= 360
    small = "all => all.filter(b => b.checkVisibility() && b.getBoundingClientRect().height < 36).length"
    assert visit.page.eval_on_selector_all(".controls button, .controls select", small) == 0
    assert visit.complaints == []
    visit.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("options", [{}, PHONE], ids=["desk", "phone"])
def test_the_plane_is_seen_whole_and_opens_large(browser, planar: Path, options: dict, scheme: str) -> None:
    visit = Visit(browser, planar / "index.html", color_scheme=scheme, **options)
    page, image = visit.page, visit.page.locator(".plane img")
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 400
    box, width = image.bounding_box(), page.viewport_size["width"]
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    declared = [float(image.get_attribute(side)) for side in ("width", "height")]
    assert box["width"] / box["height"] == pytest.approx(declared[0] / declared[1], rel=0.02)
    corner = np.array(Image.open(io.BytesIO(image.screenshot())).convert("RGB"))[3, 3]
    assert corner.min() > 240, "its letters are dark: its paper is light in both schemes"
    assert "table above" in image.get_attribute("alt")
    page.locator(".plane a").click()
    page.wait_for_load_state()
    assert unquote(page.url).startswith(unquote((planar / "planes").as_uri()))
    visit.context.close()
    assert visit.complaints == []


def test_dark_and_light_and_paper(browser, report: Path) -> None:
    found = argparse.Namespace()
    for scheme in ("light", "dark"):
        visit = Visit(browser, report / "index.html", color_scheme=scheme)
        styles = "getComputedStyle(document.body)"
        inks = [visit.page.evaluate(f"{styles}.{name}") for name in ("color", "backgroundColor")]
        setattr(found, scheme, [luminance(ink) for ink in inks])
        if scheme == "dark":
            visit.page.emulate_media(media="print")
            assert luminance(visit.page.evaluate(f"{styles}.backgroundColor")) == 1
            assert not visit.page.locator(".controls").is_visible() and visit.page.locator(".pane").is_visible()
        visit.context.close()
    assert found.light[1] > 0.9 and found.dark[1] < 0.05
    for ink, paper in (found.light, found.dark):
        lighter, darker = max(ink, paper), min(ink, paper)
        assert (lighter + 0.05) / (darker + 0.05) > 7


def luminance(colour: str) -> float:
    """Relative luminance of a CSS colour, by WCAG's formula."""
    levels = np.array([int(text) for text in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
