"""The report of `test --report`: what its page says, that names are harmless, that its folder is whole or absent."""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from srtoolbox.apps.report import writer
from srtoolbox.apps.report.contents import ImageEntry, MetricFacts, NetworkEntry, PageSet, RunFacts
from srtoolbox.apps.report.crops import Finder, choose_images
from srtoolbox.apps.report.page import _colours, best_of, render, shown
from srtoolbox.apps.report.writer import ReportWriter, safe
from srtoolbox.apps.scoring import score
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.image.colour_shift import ColourShift
from srtoolbox.io.files import sha256
from srtoolbox.plots.sheet import SheetWriter
from tests.apps.report_maker import NAMES, make_images, train

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Elements with attributes and text; fails at elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> argparse.Namespace:
    """Config, checkpoints and the folder of a report with all images."""
    folder = tmp_path_factory.mktemp("made")
    config, checkpoints = train(folder, make_images(folder / "images"))
    arguments = ["test", str(config), *map(str, checkpoints)]
    assert main([*arguments, "--report", str(folder / "report"), "data.val.metrics.psnr.y_channel=False"]) == 0
    return argparse.Namespace(arguments=arguments, checkpoints=checkpoints, report=folder / "report", folder=folder)


def page_of(report: Path) -> tuple[Page, str]:
    html = (report / "index.html").read_text(encoding="utf-8")
    return Page(html), html


def data_of(html: str) -> list[dict]:
    return json.loads(html.split('id="report-data">')[1].split("</script>")[0])


def referenced(page: Page, html: str) -> set[str]:
    """Files the page names, as a browser reads the addresses."""
    links = [a["src"] for a in page.all("img")] + [a["href"] for a in page.all("a") if not a["href"].startswith("#")]
    links += [file for each in data_of(html) for entry in each["images"] for file in entry["files"]]
    assert all("?" not in link and "#" not in link and ":" not in link for link in links)
    return {unquote(link) for link in links}


def test_the_page_is_whole_and_stands_alone(made: argparse.Namespace) -> None:
    page, html = page_of(made.report)
    present = {path.relative_to(made.report).as_posix() for path in made.report.rglob("*") if path.is_file()}
    assert referenced(page, html) == present - {"index.html"}
    assert "http:" not in html and "https:" not in html and "//cdn" not in html
    assert not [a for a in page.all("script") if "src" in a]
    assert [a["href"] for a in page.all("link")] == ["data:,"]
    identities = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identities) == len(set(identities))
    assert json.loads((made.report / "scores.json").read_text())["files"] == sorted(present)


def test_names_are_shown_and_never_become_markup(made: argparse.Namespace) -> None:
    page, html = page_of(made.report)
    assert len(page.all("script")) == 2
    assert [a for a in page.all("img") if "onerror" in a] == []
    assert sorted(entry["name"] for entry in data_of(html)[0]["images"]) == sorted(NAMES)
    assert {row[0] for row in page.cells} >= set(NAMES)


def test_protocol_files_and_means_are_stated(made: argparse.Namespace) -> None:
    page, _ = page_of(made.report)
    scores = json.loads((made.report / "scores.json").read_text())
    rows = {row[0]: row[1:] for row in page.cells}
    for name, checkpoint, iteration in zip(("first", "iter_000020"), made.checkpoints, ("5", "20"), strict=True):
        kind, _, stated, file, digest = next(row[1:] for row in page.cells if row[0] == name and row[1] == "ESPCN")
        assert (kind, stated, file) == ("ESPCN", f"{iteration} (EMA)", str(checkpoint))
        assert sha256(checkpoint).startswith(digest) and len(digest) == 12
        assert scores["networks"][name]["sha256"] == sha256(checkpoint)
    head = next(row for row in page.cells if row[0] == "Network" and "psnr" in row[1])
    assert "PSNR, rgb: R, G, B, border 3" in head[1] and "MAE, rgb: luma, border 3" in head[2]
    means = next(row for row in page.cells if row[0] == "Bicubic" and row[1] != "Bicubic")
    images = scores["scores"]["Bicubic"]["photos"]["images"].values()
    assert means[1].startswith(f"{np.mean([image['psnr'] for image in images]):.3f}")
    assert rows["plain"]


def test_shifts_of_colours_are_told(made: argparse.Namespace) -> None:
    _, html = page_of(made.report)
    shifts = json.loads((made.report / "scores.json").read_text())["colour_shifts"]["photos"]
    assert list(shifts) == ["Bicubic", "first", "iter_000020"] and shifts["Bicubic"]["delta_e"] < 0.5
    for name, shift in shifts.items():
        is_visible = max(map(abs, shift["levels"])) > 1 or shift["delta_e"] > 1
        assert (f"<bdi>{name}</bdi>: its colours differ visibly from the input&#x27;s" in html) == is_visible
    assert shifts["first"]["delta_e"] > 1  # hardly trained
    assert f"it can be seen in {shifts['first']['images_visible']} of the " in html


def test_a_shift_that_the_mean_hides_is_told_by_images() -> None:
    facts = argparse.Namespace(networks={name: argparse.Namespace(title=name) for name in ("first", "last")})
    page_set = PageSet("photos", 3, 9, "psnr", {}, [ImageEntry(name, 1, 1, {}, {}) for name in "abcd"])
    page_set.shifts = dict.fromkeys(facts.networks, ColourShift((0.5, 0.0, 0.0), 0.3))
    page_set.shifted = {"first": 2, "last": 0}
    text = _colours(page_set, facts)
    assert "<bdi>first</bdi>: not in the mean, but in 2 of the 4 images here" in text and "last" not in text
    page_set.shifts["last"] = ColourShift((9.0, 0.0, 0.0), 3.0)
    assert '<code class="option">--keep-colour</code> takes it out (<code>' in _colours(page_set, facts)


def test_images_are_those_that_were_scored(made: argparse.Namespace) -> None:
    """PSNR of the files themselves, by its formula."""
    _, html = page_of(made.report)
    entry = next(e for e in data_of(html)[0]["images"] if e["name"] == "plain")
    scores = json.loads((made.report / "scores.json").read_text())["scores"]
    lq, *networks, truth = (read_image(made.report / unquote(file)) for file in entry["files"])
    assert lq.shape == (20, 24, 3) and truth.shape == (60, 72, 3)
    for name, image in zip(scores, networks, strict=True):
        error = (image.astype(float) - truth)[3:-3, 3:-3]
        psnr = 10 * math.log10(255**2 / np.mean(error**2))
        assert scores[name]["photos"]["images"]["plain"]["psnr"] == pytest.approx(psnr, abs=1e-4)


def test_fewer_images_are_the_worst_and_the_best(made: argparse.Namespace) -> None:
    report = made.folder / "fewer"
    assert main([*made.arguments, "--report", str(report), "--report-images", "3"]) == 0
    page, html = page_of(report)
    images = json.loads((report / "scores.json").read_text())["scores"]["iter_000020"]["photos"]["images"]
    ranked = sorted(images, key=lambda name: images[name]["psnr"])
    assert {entry["name"] for entry in data_of(html)[0]["images"]} == {ranked[0], ranked[1], ranked[-1]}
    assert {row[0] for row in page.cells} >= set(NAMES)
    assert "3 of 8 images are in this report" in html
    assert len(list((report / "pictures/photos").iterdir())) == 3


def test_neither_sheets_nor_report_keep_more_than_a_part_of_a_set(
    made: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images on disk and in memory are bounded, and sheets and report are those of one large part."""
    staged, collected = [], []
    add, write = ReportWriter.add, SheetWriter.write

    def count_staged(self: ReportWriter, *args: object, **kwargs: object) -> None:
        add(self, *args, **kwargs)
        staged.append(len(list((self._folder / "pictures").glob("*/*"))))

    def count_collected(self: SheetWriter) -> None:
        collected.append(len(self.columns))
        write(self)

    monkeypatch.setattr(ReportWriter, "add", count_staged)
    monkeypatch.setattr(SheetWriter, "write", count_collected)
    made_of = {}
    for size in (2, len(NAMES)):
        monkeypatch.setattr(score, "PART", size)
        out = tmp_path / str(size)
        wanted = ["--report", str(out / "report"), "--sheets", str(out / "sheets"), "--out", str(out / "sr")]
        assert main([*made.arguments, *wanted, "--report-images", "3", "--best", "1"]) == 0
        files = {path.relative_to(out): path for path in out.rglob("*.png")}
        made_of[size] = {name: path.read_bytes() for name, path in files.items()}
    assert made_of[2] == made_of[len(NAMES)]
    assert collected == [2, 2, 2, 2, len(NAMES)]
    assert max(staged[: len(staged) // 2]) == 3 + 2


def test_without_truth_there_are_images_and_no_scores(made: argparse.Namespace, tmp_path: Path) -> None:
    sets = f"data.test={{'datasets': {{'mine': {{'type': 'FolderDataset', 'lq': {str(made.folder / 'images')!r}}}}}}}"
    report = tmp_path / "report"
    assert main([*made.arguments, sets, "--report", str(report), "--sheets", str(tmp_path / "sheets")]) == 0
    page, html = page_of(report)
    assert data_of(html)[0]["sources"] == ["Input", "Bicubic", "first", "iter_000020"]
    assert "no truth" in html and "psnr" not in html
    assert len([a for a in page.all("button") if a.get("class") == "show"]) == 3
    assert len(list((tmp_path / "sheets").iterdir())) == len(NAMES)


def test_metrics_that_need_no_truth_score_images_without_it(made: argparse.Namespace, tmp_path: Path) -> None:
    part = {"datasets": {"mine": {"type": "FolderDataset", "lq": str(made.folder / "images")}}}
    part["metrics"] = {"niqe": {"type": "NIQE"}}
    report = tmp_path / "report"
    assert main([*made.arguments, f"data.test={part}", "--report", str(report), "--report-images", "2"]) == 0
    page, html = page_of(report)
    assert data_of(html)[0]["sources"] == ["Input", "Bicubic", "first", "iter_000020"]
    assert "no truth to score these images against: each is judged alone" in html
    assert "the worst and the best by <bdi>niqe</bdi>" in html and "differs most from" in html
    scores = json.loads((report / "scores.json").read_text())["scores"]["first"]["mine"]
    assert set(scores) == {"niqe", "seconds", "images"} and len(scores["images"]) == len(NAMES)
    assert sum("niqe" in " ".join(cells) for cells in page.cells) == 2, "of the means, and of the images"


@pytest.mark.slow
def test_the_plane_of_psnr_and_how_natural_it_looks(made: argparse.Namespace, tmp_path: Path) -> None:
    distance = {"type": "FeatureDistance", "backbone": "squeezenet1_0", "layers": ["fire4"], "weights": "random"}
    report = tmp_path / "report"
    assert main([*made.arguments, f"data.val.metrics.look={distance}", "--report", str(report)]) == 0
    page, html = page_of(report)
    (image,) = [each for each in page.all("img") if (each["src"] or "").startswith("planes/")]
    height, width = read_image(report / unquote(image["src"] or "")).shape[:2]
    assert (image["width"], image["height"]) == (str(width), str(height))
    assert "Perception against distortion" in html
    assert image["src"] in json.loads((report / "scores.json").read_text())["files"]
    assert "planes/" not in page_of(made.report)[1]


def test_a_report_is_replaced_and_nothing_else(made: argparse.Namespace, tmp_path: Path, capsys) -> None:
    report = tmp_path / "report"
    arguments = [*made.arguments[:-1], "--report", str(report), "--report-images", "1"]
    report.mkdir()
    assert main(arguments) == 0
    first = (report / "index.html").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (report / "index.html").stat().st_mtime_ns > first
    (report / "pictures/notes.txt").write_text("mine")
    capsys.readouterr()
    assert main(arguments) == 2
    assert "notes.txt" in capsys.readouterr().err
    for name in ("index.html", "pictures/notes.txt"):
        assert (report / name).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


@pytest.mark.parametrize("content", [{}, {"thesis.txt": ""}, {"scores.json": "[1]"}, {"scores.json": '{"kind": "?"}'}])
def test_foreign_folders_are_refused(tmp_path: Path, content: dict[str, str]) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name, text in content.items():
        (target / name).write_text(text)
    if not content:
        target.rmdir()
        target.write_text("a file")
    with pytest.raises(SrtoolboxError, match="target"):
        writer.StagedFolder(target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_the_current_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SrtoolboxError, match="name a folder in it"):
        writer.StagedFolder(".")


def test_a_failure_leaves_the_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"

    def fill(folder: writer.StagedFolder, text: str) -> None:
        (folder.path / "scores.json").write_text(json.dumps({"kind": writer.KIND, "files": ["scores.json"], "x": text}))

    first = writer.StagedFolder(target)
    fill(first, "first")
    first.commit()
    second = writer.StagedFolder(target)
    fill(second, "second")
    real = os.replace

    def failing(source: Path, destination: Path) -> None:
        if Path(source) == second.path:
            raise OSError(28, "No space left on device")
        real(source, destination)

    monkeypatch.setattr(writer.os, "replace", failing)
    with pytest.raises(SrtoolboxError, match="No space left"):
        second.commit()
    second.discard()
    assert json.loads((target / "scores.json").read_text())["x"] == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def killed_while_committing(target: Path, moment: int) -> int:
    """Fork a process that is killed at its `moment`-th move or, at the third, deletion; returns the signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        folder = writer.StagedFolder(target)
        report = {"kind": writer.KIND, "files": ["scores.json"], "x": "killed"}
        (folder.path / "scores.json").write_text(json.dumps(report))
        real, calls = os.replace, []

        def replace(source: Path, destination: Path) -> None:
            calls.append(source)
            if len(calls) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, destination)

        writer.os.replace = replace
        writer.shutil.rmtree = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        folder.commit()
    finally:
        os._exit(1)


@pytest.mark.parametrize("moment", [1, 2, 3])  # before the earlier report is set aside, then, when the new one is there
def test_what_a_killed_report_left_is_cleared(tmp_path: Path, moment: int) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "scores.json").write_text(json.dumps({"kind": writer.KIND, "files": ["scores.json"], "x": "first"}))
    at_work = writer.StagedFolder(target)
    assert killed_while_committing(target, moment) == -signal.SIGKILL
    assert len(list(tmp_path.glob(".target.*"))) == {1: 4, 2: 5, 3: 4}[moment]  # of the two at work, with locks
    writer.StagedFolder(target).discard()
    assert json.loads((target / "scores.json").read_text())["x"] == ("killed" if moment == 3 else "first")
    lock = writer.lock_path(at_work.path)
    assert sorted(tmp_path.glob(".target.*")) == [lock, at_work.path], "somebody else's is left alone"
    at_work.discard()
    assert not list(tmp_path.glob(".target.*"))


def test_a_checkpoint_may_not_be_called_as_the_baseline(made: argparse.Namespace, tmp_path: Path, capsys) -> None:
    shutil.copy(made.checkpoints[0], tmp_path / "Bicubic.pth")
    assert main([*made.arguments[:2], str(tmp_path / "Bicubic.pth"), "--report", str(tmp_path / "report")]) == 2
    assert "rename" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["Bicubic.pth"]


def test_options_that_make_no_sense_are_refused(made: argparse.Namespace) -> None:
    for extra in (["--report-images", "3"], ["--report", "r", "--report-images", "0"]):
        with pytest.raises(SystemExit):
            main([*made.arguments, *extra])


def test_the_choice_keeps_worst_and_best_in_order() -> None:
    scores = {name: {"m": value} for name, value in zip("abcdef", [5, 1, math.inf, 2, math.nan, 4], strict=True)}
    assert choose_images(scores, "m", True, 4) == ["a", "b", "c", "e"]
    assert choose_images(scores, "m", False, 3) == ["b", "c", "e"]
    assert choose_images(scores, None, None, 2) == ["a", "b"]
    assert choose_images(scores, "m", True, 6) == list("abcdef")


def test_crops_lie_where_the_errors_are(photo: np.ndarray) -> None:
    truth = photo[:300, :450]
    result = np.clip(truth.astype(int) + 3, 0, 255).astype(np.uint8)
    result[99:171, 201:273] = 255 - truth[99:171, 201:273]
    finder = Finder(3, 3, images=1)
    finder.add("cat", result, truth)
    chosen = finder.extremes()
    assert [len(crops) for crops in chosen.values()] == [3, 3]
    region = chosen["worst"][0].region
    assert region == (99, 201, 72, 72)
    expected = np.mean((result[99:171, 201:273].astype(float) - truth[99:171, 201:273]) ** 2)
    assert chosen["worst"][0].error == pytest.approx(expected, rel=1e-5)
    for crops in chosen.values():
        assert all(min(crop.region[:2]) >= 3 and crop.region.top + 72 <= 297 for crop in crops)
        places = [crop.region[:2] for crop in crops]
        assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= 72 for a in places for b in places if a != b)
    assert chosen["best"][0].error < chosen["worst"][0].error


@pytest.mark.parametrize("size", [(3, 3), (6, 60), (27, 27), (30, 33)])
def test_tiny_images_have_crops_that_fit(photo: np.ndarray, size: tuple[int, int]) -> None:
    truth = photo[100 : 100 + size[0], 100 : 100 + size[1]]
    finder = Finder(3, 3, images=1)
    finder.add("bit", 255 - truth, truth)
    for crop in finder.extremes()["worst"]:
        top, left, height, width = crop.region
        assert min(top, left) >= 0 and min(height, width) > 0 and top + height <= size[0] and left + width <= size[1]


def test_best_values_and_notation() -> None:
    assert best_of({"a": 1.0, "b": math.inf, "c": math.nan}, True) == {"b"}
    assert best_of({"a": 1.0, "b": 1.0, "c": 2.0}, False) == {"a", "b"}
    assert best_of({"a": 1.0, "b": 2.0}, None) == set() == best_of({"a": 1.0}, True)
    assert [shown(v) for v in (31.04567, 0.87654, math.inf, -0.5, math.nan)] == [
        "31.046",
        "0.8765",
        "∞",
        "−0.5000",
        "not a number",
    ]


def test_names_of_files_are_plain_and_different() -> None:
    names = [*NAMES, "a/b", "a_b", "A_b", "..", "nul", ".", "x" * 300, "x" * 299, "\udcff"]
    files = [safe(name) for name in names]
    assert len({file.lower() for file in files}) == len(names)
    assert all(file.isascii() and len(file) <= 60 and not set(file) & set("/\\:*?\"<>| '%#&") for file in files)
    assert not {".", ".."} & set(files)


def test_infinite_scores_and_hostile_facts_are_written() -> None:
    """A page of facts alone, as a set of perfect results has them."""
    bad = "<b onclick=alert(1)>&\"'</script>"
    facts = RunFacts(
        config=bad,
        overrides=[bad],
        device="cpu",
        date="today",
        versions={"torch": "2"},
        networks={"Bicubic": NetworkEntry("Bicubic", "Bicubic", 0), bad: NetworkEntry(bad, bad, 1, bad, "ab" * 32, 7)},
        metrics={bad: MetricFacts("PSNR", "rgb: luma, border 0", True, 0, True)},
        scales={bad: 3},
    )
    results = {
        "Bicubic": {bad: {bad: {bad: 30.0, "seconds": 0.1}, "b": {bad: math.inf, "seconds": 0.1}}},
        bad: {bad: {bad: {bad: math.nan, "seconds": 0.1}, "b": {bad: -math.inf, "seconds": 0.1}}},
    }
    html = render(facts, [PageSet(bad, 3, 2, bad, {" input": "Input", "Bicubic": "Bicubic", bad: bad}, [])], results)
    page = Page(html)
    assert page.all("b") == [] and len(page.all("script")) == 2
    values = [attributes["data-value"] for attributes in page.all("td") if "data-value" in attributes]
    assert values == ["30.0", "NaN", "Infinity", "-Infinity"]
