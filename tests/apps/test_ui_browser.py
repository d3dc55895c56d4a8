"""The page for upscaling in a real browser: drop, blend, compare, cancel, download, and what it refuses.

Needs Chromium and the package playwright (the extra `browser`), which drives it, and the extra `ui`.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srtoolbox.apps.ui.uploads import Limits
from srtoolbox.apps.video.frames import frames as each_frame
from srtoolbox.apps.video.frames import probe
from srtoolbox.cli import main
from srtoolbox.image import decode_image, encode_image
from srtoolbox.io.tensor_files import load_tensors, save_tensors
from tests.apps.browsing import WatchedPage, browser
from tests.apps.clips import make_clip

pytest.importorskip("uvicorn", reason="needs the extra 'ui'")
server = pytest.importorskip("srtoolbox.apps.ui.server", reason="needs the extra 'ui'")

__all__ = ["browser"]  # a fixture

pytestmark = pytest.mark.slow
HOSTILE = "../../<img src=x onerror=window.broken=1>.png"
SHOWN = "_img src=x onerror=window.broken=1_.png"
MAX_PIXELS = 100_000
LINE = "li[data-key] .job"


class Served(WatchedPage):
    """A running server, and a page of it in the browser."""

    def __init__(self, browser, weights: Path) -> None:
        ready: list[tuple[str, Callable[[], None]]] = []
        is_ready = threading.Event()

        def tell(address: str, stop: Callable[[], None]) -> None:
            ready.append((address, stop))
            is_ready.set()

        arguments = {"limits": Limits(pixels=MAX_PIXELS), "device": "cpu", "ready": tell}
        self.thread = threading.Thread(target=server.serve, args=(weights,), kwargs=arguments)
        self.thread.start()
        assert is_ready.wait(20)
        self.address, self.stop = ready[0]
        self.base = self.address.partition("?")[0]
        super().__init__(browser, viewport={"width": 1200, "height": 1000}, accept_downloads=True)
        self.page.goto(self.address)
        self.page.wait_for_selector("#limits:not(:empty)")

    def drop(self, *files: tuple[str, bytes]) -> None:
        """Drop files on the page, as a hand does."""
        self.page.evaluate(
            """files => {
                const data = new DataTransfer();
                for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name));
                document.querySelector("#drop").dispatchEvent(
                    new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }""",
            [[name, [*content]] for name, content in files],
        )

    def choose(self, name: str, select: str = "#weights") -> str:
        """Choose a network; returns what the page says of it."""
        self.page.select_option(select, label=name)
        line = "#described" if select == "#weights" else "#described-other"
        self.until(f"!['', 'Reading ...'].includes(document.querySelector('{line}').textContent)")
        return self.page.inner_text(line)

    def result(self, number: int = 0) -> bytes:
        """Wait until a job has ended, and download its result."""
        line = self.page.locator(LINE).nth(number)
        line.locator("a").wait_for()
        with self.page.expect_download() as download:
            line.locator("a").click()
        return Path(download.value.path()).read_bytes()

    def fault(self) -> str:
        self.page.wait_for_selector("#fault:not([hidden])")
        return self.page.inner_text("#fault span")

    def close(self) -> None:
        self.context.close()
        self.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def weights(espcn: str, bicubic: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two trainings of a network, a third network, and a text that is called weights."""
    folder = tmp_path_factory.mktemp("weights")
    shutil.copy(espcn, folder / "first.pth")
    shutil.copy(bicubic, folder / "bicubic.pth")
    state = load_tensors(espcn)
    other = {key: tensor + 0.05 * torch.sin(tensor * 50) for key, tensor in state["networks"]["generator"].items()}
    save_tensors(folder / "second.pth", {"config": state["config"], "networks": {"generator": other}})
    (folder / "text.pth").write_text("import os; os.system('true')")
    return folder


@pytest.fixture
def served(browser, weights: Path) -> Iterator[Served]:
    opened = Served(browser, weights)
    yield opened
    opened.close()
    refused = [text for text in opened.complaints if "400 (Bad Request)" not in text]
    assert refused == []
    assert all(url.startswith((opened.base, "data:")) for url in opened.requests)


def by_command(tmp_path: Path, image: bytes, *options: str, suffix: str = ".png") -> bytes:
    """Return what `srtoolbox upscale` makes of an image."""
    (tmp_path / "in.png").write_bytes(image)
    out = tmp_path / f"out{suffix}"
    assert main(["upscale", options[0], str(tmp_path / "in.png"), "-o", str(out), *options[1:]]) == 0
    return out.read_bytes()


def test_two_images_become_what_the_command_makes(
    served: Served, weights: Path, tmp_path: Path, photo: np.ndarray
) -> None:
    images = [encode_image(np.ascontiguousarray(part)) for part in (photo[:90, :120], photo[20:70, :80])]
    assert served.choose("first.pth").startswith("ESPCN x3, ")
    served.drop(("a.png", images[0]), (HOSTILE, images[1]))
    served.until("document.querySelectorAll('#files > li').length === 2")
    assert served.page.locator("#files bdi").all_inner_texts() == ["a.png", SHOWN]
    served.page.click("#start")
    for number, image in enumerate(images):
        assert served.result(number) == by_command(tmp_path, image, str(weights / "first.pth"), "--device", "cpu")
    assert served.page.evaluate("window.broken === undefined")
    said = served.page.locator(f"{LINE} .message").first.inner_text()
    assert said.startswith("a.png: its colours differ visibly") and said.endswith("`Keep colours` takes it out")
    with served.page.expect_download() as download:
        served.page.click("#all")
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert archive.namelist() == ["a_sr.png", SHOWN.replace(".png", "_sr.png")]
    assert served.page.locator("#viewer-0 .stage img").count() == 2
    served.page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    served.page.get_by_role("button", name=f"Compare {SHOWN} before and after").click()
    assert served.page.get_attribute("#viewer-0 .stage", "aria-label").startswith(
        f"{SHOWN}: Before (80 × 50) and After"
    )
    served.page.focus("#viewer-0 .divider")
    served.page.keyboard.press("ArrowRight")
    assert served.page.input_value("#viewer-0 .divider") == "50.5"
    served.page.click("#viewer-0 .in")
    assert served.page.inner_text("#viewer-0 .zoom") != ""
    served.page.screenshot(path=tmp_path / "page.png", full_page=True)


def test_blend_scale_and_colours_are_those_of_the_command(
    served: Served, weights: Path, tmp_path: Path, photo: np.ndarray
) -> None:
    image = encode_image(np.ascontiguousarray(photo[:40, :50]))
    served.choose("first.pth")
    served.choose("second.pth", "#other")
    served.page.focus("#alpha")
    for _ in range(4):
        served.page.keyboard.press("ArrowRight")
    assert served.page.inner_text("#share") == "70 %"
    served.page.fill("#outscale", "2.5")
    served.page.click("#more summary")
    served.page.select_option("#tile", "128")
    served.page.check("#keep_colour")
    served.drop(("a.png", image))
    served.page.wait_for_selector("#files > li")
    served.page.click("#start")
    options = ["--blend", str(weights / "second.pth"), "--alpha", "0.7", "--outscale", "2.5", "--tile", "128"]
    options += ["--keep-colour", "--device", "cpu"]
    assert served.result() == by_command(tmp_path, image, str(weights / "first.pth"), *options)
    assert "70% of second.pth" in served.page.inner_text(LINE)


def test_all_settings_are_those_of_the_command(
    served: Served, weights: Path, tmp_path: Path, photo: np.ndarray
) -> None:
    alpha, file = np.tile(np.arange(0, 250, 5, dtype=np.uint8), (40, 1))[..., None], io.BytesIO()
    Image.fromarray(np.concatenate([photo[:40, :50], alpha], 2)).save(file, "PNG")
    image = file.getvalue()
    served.choose("first.pth")
    served.page.click("#more summary")
    served.page.select_option("#ext", "webp")
    served.page.fill("#quality", "80")
    served.page.select_option("#transparency", "bicubic")
    served.page.select_option("#wrap", "xy")
    served.page.check("#ensemble")
    served.page.uncheck("#provenance")
    served.drop(("a.png", image))
    served.page.wait_for_selector("#files > li")
    served.page.click("#start")
    options = ["--quality", "80", "--transparency", "bicubic", "--wrap", "xy", "--ensemble", "--no-provenance"]
    options += ["--device", "cpu"]
    assert served.result() == by_command(tmp_path, image, str(weights / "first.pth"), *options, suffix=".webp")


def test_weights_that_fit_any_scale_are_told_one(served: Served, tmp_path: Path, photo: np.ndarray) -> None:
    torch.manual_seed(0)
    shapes = {"conv1": (64, 1, 9, 9), "conv2": (32, 64, 5, 5), "conv3": (1, 32, 5, 5)}
    state = {f"{name}.weight": 0.02 * torch.randn(shape) for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.full(shape[:1], 0.01) for name, shape in shapes.items()}
    save_tensors(tmp_path / "plain.pth", state)
    image = encode_image(np.ascontiguousarray(photo[:40, :50]))
    served.drop(("plain.pth", (tmp_path / "plain.pth").read_bytes()), ("a.png", image))
    served.until("document.querySelector('#described').textContent.includes('say it: `Scale of weights`, or an x2 in')")
    served.page.fill("#scale", "2")
    served.page.keyboard.press("Tab")
    served.until("document.querySelector('#described').textContent.startsWith('SRCNN x2, ')")
    served.page.click("#start")
    served.page.wait_for_selector(f"{LINE}[data-state=failed]")
    assert "`Untried` opens it as it is" in served.page.inner_text(f"{LINE} .message")
    served.page.check("#untried")
    served.page.get_by_role("button", name="Upscale a.png again").click()
    options = ["--scale", "2", "--no-trial", "--device", "cpu"]
    by_it = by_command(tmp_path, image, str(tmp_path / "plain.pth"), *options)
    served.page.locator(f"{LINE}[data-state=done]").wait_for()
    with served.page.expect_download() as download:
        served.page.locator(f"{LINE}[data-state=done] a").click()
    assert Path(download.value.path()).read_bytes() == by_it


def test_what_is_not_needed_any_more_is_removed(served: Served, weights: Path, photo: np.ndarray) -> None:
    served.drop(
        ("dropped.pth", (weights / "first.pth").read_bytes()),
        ("a.png", encode_image(np.ascontiguousarray(photo[:20, :20]))),
    )
    served.until("document.querySelector('#described').textContent.startsWith('ESPCN x3, ')")
    assert served.page.locator("#files .note").first.inner_text().startswith("weights, ")
    served.page.locator("#files > li").nth(1).wait_for()
    served.page.click("#start")
    assert served.result()
    address = served.page.locator(f"{LINE} a").get_attribute("href")
    served.page.get_by_role("button", name="Remove this result of a.png").press("Enter")
    served.until(f"document.querySelectorAll('{LINE}').length === 0")
    assert served.context.request.get(served.base + address).status == 404
    assert served.page.locator("#compare").is_hidden()
    served.page.get_by_role("button", name="Remove dropped.pth").press("Enter")
    served.until("document.querySelectorAll('#files > li').length === 1")
    assert served.page.locator("#weights option", has_text="dropped.pth").count() == 0
    assert served.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove a.png"
    served.page.keyboard.press("Enter")
    served.until("document.querySelectorAll('#files > li').length === 0 && document.activeElement.id === 'choose'")


def test_the_page_fits_a_phone_and_goes_by_keyboard(served: Served, tmp_path: Path, photo: np.ndarray) -> None:
    served.page.set_viewport_size({"width": 360, "height": 700})
    (tmp_path / "a_photo_with_a_name_that_is_far_too_long_for_a_phone_of_this_width.png").write_bytes(
        encode_image(np.ascontiguousarray(photo[:20, :20]))
    )
    page = served.page
    page.keyboard.press("Tab")
    assert (
        page.evaluate("document.activeElement.id") == "choose" and page.locator("#choose").bounding_box()["width"] > 50
    )
    page.set_input_files("#choose", [*tmp_path.glob("*.png")])
    page.wait_for_selector("#files > li")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # to the first network, bicubic.pth
    page.wait_for_selector("#described:not(:empty)")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "start":
            break
    page.keyboard.press("Enter")
    page.locator(f"{LINE} a").wait_for()
    page.click("#more summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=tmp_path / "phone.png", full_page=True)


def test_what_cannot_be_is_said_in_a_sentence(served: Served, photo: np.ndarray) -> None:
    served.drop(("large.png", encode_image(np.zeros((400, 300, 3), np.uint8))))
    assert served.fault().startswith("large.png: 300 x 400 pixels, more than the 100,000")
    served.page.click("#dismiss")
    served.drop(("broken.jpg", b"no image"))
    assert served.fault().startswith("broken.jpg: ") and "/" not in served.fault()
    served.page.click("#dismiss")
    served.drop(("run.sh", b"true"))
    assert served.fault().startswith("run.sh: is no image, video or file of weights by its name")
    served.page.click("#dismiss")
    served.drop(("list.mp4", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"))
    assert served.fault().startswith("list.mp4: no video that can be read")
    served.page.click("#dismiss")
    said = served.choose("text.pth")
    assert said.startswith("text.pth: ") and "Traceback" not in said
    served.drop(("dropped.pth", b"just a text"))
    served.until("document.querySelector('#described').textContent.startsWith('dropped.pth: ')")
    served.drop(("a.png", encode_image(np.ascontiguousarray(photo[:20, :20]))))
    served.until("document.querySelectorAll('#files > li').length === 2")
    served.page.click("#start")
    assert served.fault().startswith("dropped.pth: ")
    assert served.page.locator(LINE).count() == 0


def test_blending_two_networks_fails_in_a_sentence(served: Served, photo: np.ndarray) -> None:
    served.choose("first.pth")
    served.choose("bicubic.pth", "#other")
    served.drop(("a.png", encode_image(np.ascontiguousarray(photo[:20, :20]))))
    served.page.wait_for_selector("#files > li")
    served.page.click("#start")
    served.page.wait_for_selector(f"{LINE}[data-state=failed]")
    text = served.page.inner_text(f"{LINE} .message")
    assert "first.pth" in text and "cannot be interpolated" in text and "folder" not in text


def test_cancelled_jobs_end_and_the_others_go_on(
    served: Served, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from srtoolbox.inference.upscaler import Upscaler

    goes_on, began = threading.Event(), threading.Event()
    bands, upscaled = Upscaler.bands, []

    def slow(self, image, **options):
        upscaled.append(image)
        for number, band in enumerate(bands(self, image, **options)):
            if number == 1:
                began.set()
                assert goes_on.wait(60)
            yield band

    monkeypatch.setattr(Upscaler, "bands", slow)
    served.choose("first.pth")
    served.page.click("#more summary")
    served.page.select_option("#tile", "128")
    wide = encode_image(np.ascontiguousarray(np.tile(photo[:60, :60], (5, 1, 1))))
    served.drop(*((f"{name}.png", wide) for name in "abc"))
    served.until("document.querySelectorAll('#files > li').length === 3")
    served.page.click("#start")
    assert began.wait(30)
    lines = served.page.locator(LINE)
    lines.nth(0).locator("progress").wait_for()
    lines.nth(0).get_by_text(re.compile(r"^\d+ %, .* s left$")).wait_for()
    assert lines.nth(1).get_attribute("data-state") == "waiting"
    lines.nth(0).locator("button").click()
    lines.nth(1).locator("button").click()
    served.until(
        "[...document.querySelectorAll('.job')].filter(line => line.dataset.state === 'cancelled').length === 2"
    )
    goes_on.set()
    assert served.result(2)
    states = [lines.nth(number).get_attribute("data-state") for number in range(3)]
    assert states == ["cancelled", "cancelled", "done"] and len(upscaled) == 2
    served.page.get_by_role("button", name="Remove c.png").click()
    served.until("document.querySelectorAll('#files > li').length === 2")
    assert served.page.locator("#compare").is_hidden()


def test_nothing_is_given_without_the_token_or_to_other_sites(served: Served, browser) -> None:
    stranger = browser.new_context()
    assert stranger.request.get(served.base + "state").status == 403
    assert stranger.request.get(served.base + "?token=wrong-wrong-wrong").status == 403
    stranger.close()
    visitor = browser.new_page()
    visitor.goto(f"data:text/html,<a href='{served.address}'>link</a>")  # a link elsewhere leads there, too
    visitor.click("a")
    visitor.wait_for_selector("#limits:not(:empty)")
    visitor.close()
    ours = served.context.request
    assert ours.get(served.base + "state").status == 200
    assert ours.post(served.base + "jobs", data="{}", headers={"Origin": "http://localhost:1"}).status == 403
    for path in ("files/..%2F..%2Fetc%2Fpasswd/image", "jobs/1/result", "weights/99", "weights/x", "%2e%2e/setup.py"):
        assert ours.get(served.base + path).status == 404
    without_length = ours.post(served.base + "files?name=a.png", data=b"", headers={"Transfer-Encoding": "chunked"})
    assert without_length.status in (400, 411)
    gone = ours.post(served.base + "jobs", data=json.dumps({"files": ["0"], "weights": "0"}))
    assert gone.status == 400 and gone.json() == {"error": "That file is not here any more; reload the page"}
    for body in ("[]", "{", json.dumps({"weights": "0", "outscale": 1e9}), json.dumps({"weights": "0", "tile": -1})):
        assert ours.post(served.base + "jobs", data=body).status == 400


def test_every_control_has_a_name(served: Served, photo: np.ndarray) -> None:
    served.choose("bicubic.pth")
    served.drop(("a.png", encode_image(np.ascontiguousarray(photo[:20, :20]))))
    served.page.wait_for_selector("#files > li")
    served.page.click("#start")
    served.page.locator(f"{LINE} a").wait_for()
    served.page.click("#more summary")
    nameless = served.page.evaluate(
        """() => [...document.querySelectorAll("button, select, input, a, progress")].filter(each =>
            !each.getAttribute("aria-label") && !each.textContent.trim() && !(each.labels && each.labels.length))
            .map(each => each.outerHTML)"""
    )
    assert [html for html in nameless if "hidden" not in html] == []


def test_a_video_is_upscaled_and_compared_by_its_frames(served: Served, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="needs the extra 'video'")
    clip = make_clip(tmp_path / "clip.mp4", number=5).read_bytes()
    served.choose("first.pth")
    served.drop(("clip.mp4", clip))
    served.page.wait_for_selector("#files > li")
    served.page.click("#start")
    made = served.result()
    with av.open(io.BytesIO(made)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 5 and frames[0].shape == (144, 192, 3)
    said = served.page.inner_text(f"{LINE} .message")
    assert said.startswith("clip.mp4: its colours differ visibly") and said.endswith("`Keep colours` takes it out")
    assert served.page.inner_text("#frame") == "3 of 5"
    served.page.get_by_role("button", name="Compare clip.mp4 before and after").click()
    served.page.focus("#at")
    served.page.keyboard.press("ArrowRight")
    served.until("[...document.querySelectorAll('#viewer-0 img')].every(each => each.src.endsWith('?frame=3'))")
    assert served.page.inner_text("#frame") == "4 of 5"
    served.page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    (tmp_path / "made.mp4").write_bytes(made)
    shown = served.context.request.get(served.base + "jobs/1/image?frame=3").body()
    by_it = [frame.image for frame in each_frame(probe(tmp_path / "made.mp4"))]
    np.testing.assert_array_equal(decode_image(shown, "shown"), by_it[3])
