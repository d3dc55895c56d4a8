"""Tables for papers: what is marked, told and escaped, and that LaTeX takes them."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from torch import nn

import srtoolbox
from srtoolbox.apps.report.contents import MetricFacts
from srtoolbox.apps.scoring.paper import as_csv, as_latex, as_markdown, caption, escape_latex, escape_markdown, short
from srtoolbox.apps.scoring.significance import compare_pairs
from srtoolbox.apps.scoring.summary import Column, Row, Summary, count_multi_adds, plan_rows
from srtoolbox.cli import main
from srtoolbox.errors import OptionError
from srtoolbox.registry import NETWORKS
from tests.conftest import TINY

FACTS = {
    "psnr": MetricFacts("PSNR", "rgb: luma, border 4", True, 4, True),
    "ssim": MetricFacts("SSIM", "rgb: luma, border 4", True, 4, True),
    "lpips": MetricFacts("LPIPS", "rgb: R, G, B, border 0", False, 0, False),
    "ratio": MetricFacts("Ratio", "own rules", None, 0, False),
}


def row(name: str, *trainings: dict[str, float], size: int = 1000) -> Row:
    images = {key: statistics.fmean(each[key] for each in trainings) for key in trainings[0]}
    return Row(name, name, size, 10 * size, [{"set5": each} for each in trainings], {"set5": {"bird": images}})


def summary(*rows: Row) -> Summary:
    return Summary(list(rows), FACTS, {"set5": 4})


def scores(psnr: float, lpips: float = 0.1, ratio: float = 1.0) -> dict[str, float]:
    return {"psnr": psnr, "lpips": lpips, "ratio": ratio}


def cells(latex: str) -> dict[str, list[str]]:
    rows = [line.strip().removesuffix("\\\\").split(" & ") for line in latex.splitlines() if "&" in line]
    return {cells[0]: [cell.strip() for cell in cells[3:]] for cells in rows[2:]}


def test_the_best_is_bold_and_the_second_underlined_by_what_is_printed() -> None:
    table = summary(
        row("a", scores(30.001, 0.3)), row("b", scores(30.004, 0.1)), row("c", scores(29, 0.2)), row("d", scores(28))
    )
    found = cells(as_latex(table))
    assert [found[name][0] for name in "abcd"] == [r"\textbf{30.00}", r"\textbf{30.00}", r"\underline{29.00}", "28.00"]
    # lower is better, and a ratio is neither
    assert [found[name][1] for name in "abc"] == ["0.3000", r"\textbf{0.1000}", r"\underline{0.2000}"]
    assert {found[name][2] for name in "abcd"} == {"1.0000"}
    assert "| **30.00** |" in as_markdown(table) and "| <ins>29.00</ins> |" in as_markdown(table)


def test_what_is_no_number_is_never_best_and_one_network_has_no_rival() -> None:
    found = cells(as_latex(summary(row("a", scores(math.nan)), row("b", scores(1)), row("c", scores(math.inf)))))
    assert [found[name][0] for name in "abc"] == ["nan", r"\underline{1.00}", r"\textbf{inf}"]
    assert "textbf" not in as_latex(summary(row("a", scores(1)))) and "bold" not in caption(
        summary(row("a", scores(1)))
    )


def test_trainings_have_a_mean_and_the_deviation_of_a_sample() -> None:
    table = summary(row("many", scores(30), scores(31), scores(33)), row("one", scores(30)))
    deviation = statistics.stdev([30, 31, 33])
    assert cells(as_latex(table))["many"][0] == rf"\textbf{{31.33}} $\pm$ {deviation:.2f}"
    assert "**31.33** ± 1.53" in as_markdown(table)
    assert "Mean ± standard deviation (n - 1) over trainings: many n = 3." in caption(table)
    assert next(table.spreads()).startswith("set5 many, 3 trainings: psnr 31.33 ± 1.53, ")


def test_csv_is_exact() -> None:
    value = 30.0 + 1 / 3
    read = list(csv.DictReader(io.StringIO(as_csv(summary(row("a, b", scores(value)))))))
    assert float(read[0]["set5/psnr"]) == value and read[0]["network"] == "a, b" and read[0]["set5/psnr_std"] == ""
    assert read[0]["multi_adds"] == "10000" and "set5/psnr_p" not in read[0]


def test_networks_that_are_not_significantly_worse_have_a_dagger() -> None:
    images = {str(number): float(number) for number in range(10)}
    moved = {name: value + 1 for name, value in images.items()}
    near = {name: value + (0.9 if value % 3 else 1.1) for name, value in images.items()}
    table = Summary(
        [row("best", scores(6)), row("near", scores(5.9)), row("far", scores(5))],
        FACTS,
        {"set5": 4},
        compare_pairs("set5", "psnr", {"best": moved, "near": near, "far": images}, True),
    )
    marks = {name: found[0].endswith(r"$^\dagger$") for name, found in cells(as_latex(table)).items()}
    assert marks == {"best": False, "near": True, "far": False}
    read = {line["network"]: line for line in csv.DictReader(io.StringIO(as_csv(table)))}
    assert float(read["far"]["set5/psnr_p"]) == pytest.approx(3 * 2 / 1024) and read["best"]["set5/psnr_p"] == ""
    assert "not significantly worse than the best (p ≥ 0.05)" in caption(table) and "3 pairs" in caption(table)


def test_the_caption_has_the_protocol() -> None:
    text = caption(summary(row("a", {"psnr": 1.0, "ssim": 1.0, "lpips": 1.0, "ratio": 1.0})))
    assert "Scale ×4: set5 (1 image). PSNR, SSIM: luma (BT.601) of images rounded to 8-bit RGB, 4 px left out" in text
    assert "LPIPS: R, G and B of images rounded to 8 bit, to the border. Ratio: own rules." in text
    assert "Multi-Adds are for an output of 1280 × 720 pixels" in text


def test_metrics_of_one_kind_keep_their_names() -> None:
    table = Summary([row("a", {"psnr": 1.0, "rgb": 2.0})], {"psnr": FACTS["psnr"], "rgb": FACTS["psnr"]}, {"set5": 4})
    assert [table.title(metric) for metric in ("psnr", "rgb")] == ["psnr", "rgb"]


def test_counts_have_three_digits() -> None:
    assert [short(count) for count in (0, 999, 1000, 705_123, 999_999, 1_517_571, 40_885_865_472)] == [
        "0",
        "999",
        "1.00 k",
        "705 k",
        "1.00 M",
        "1.52 M",
        "40.9 G",
    ]


def test_multi_adds_are_those_of_the_papers() -> None:
    imdn = NETWORKS.build({"type": "IMDN", "scale": 4})  # 40.9 G in its paper's Table 5
    assert short(count_multi_adds("imdn", imdn)) == "40.9 G" and next(imdn.parameters()).device.type == "cpu"
    assert count_multi_adds("bicubic", NETWORKS.build({"type": "Bicubic", "scale": 4})) is None


def test_multi_adds_that_cannot_be_counted_are_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = NETWORKS.build({"type": "ESPCN", "scale": 3})
    monkeypatch.setattr(network, "forward", lambda x: x.cpu().numpy())
    monkeypatch.setattr(type(network), "__deepcopy__", lambda self, _: self, raising=False)
    assert count_multi_adds("mine", network) is None
    assert "mine: its Multi-Adds are left out" in caplog.text


def test_names_are_escaped() -> None:
    assert escape_latex("a_b & 50%\n#1 {x} ~^\\ <") == (
        r"a\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} \textless{}"
    )
    assert escape_markdown("a|b_c *d* <i> [x]") == r"a\|b\_c \*d\* \<i\> \[x\]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, photo_folder: Path) -> Path:
    """A folder with `tiny.py`, a training's checkpoints and those of another seed's, and of another network."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "tiny.py").write_text(TINY.format(folder=str(photo_folder)))
    for name, change in {"s0": "seed=0", "s1": "seed=1", "wide": "model.generator.channels=[8,8]"}.items():
        assert main(["train", str(folder / "tiny.py"), "--work-dir", str(folder / name), change, "max_iters=2"]) == 0
    return folder


def test_the_command_writes_all_three(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    seeds = [str(trained / f"{name}/checkpoints/iter_000002.pth") for name in ("s0", "s1")]
    arguments = ["test", str(trained / "tiny.py"), str(trained / "wide/checkpoints/iter_000002.pth"), "--baseline"]
    files = {option: str(tmp_path / f"out/t.{option}") for option in ("latex", "markdown", "csv")}
    for option, path in files.items():
        arguments += [f"--{option}", path]
    assert main([*arguments, "--significance", "--seeds", "ES_PCN", *seeds]) == 0
    printed = capsys.readouterr().out
    assert "photos ES_PCN, 2 trainings: psnr " in printed
    assert "photos psnr: (6 images cannot show a difference: p is at least" in printed
    assert "\n  Bicubic is not significantly better than ES_PCN (on 6 of 6 images" in printed
    read = list(csv.DictReader(io.StringIO(Path(files["csv"]).read_text(encoding="utf-8"))))
    assert [line["network"] for line in read] == ["Bicubic", "wide_iter_000002", "ES_PCN"]
    latex = Path(files["latex"]).read_text(encoding="utf-8")
    assert r"ES\_PCN" in latex and r"$\pm$" in latex
    results = srtoolbox.test(
        trained / "tiny.py",
        seeds={"both": seeds},
        significance=True,
        baseline=True,
        console=Console(file=io.StringIO()),
    )
    psnr = [results.means[name]["photos"]["psnr"] for name in results.means if "s0" in name or "s1" in name]
    both = next(line for line in read if line["network"] == "ES_PCN")
    assert float(both["photos/psnr"]) == pytest.approx(statistics.fmean(psnr), rel=1e-12)
    assert float(both["photos/psnr_std"]) == pytest.approx(statistics.stdev(psnr), rel=1e-9)
    assert {(each.first, each.second) for each in results.comparisons} == {("Bicubic", "both")}


def test_trainings_of_different_networks_are_refused_before_any_is_scored(
    trained: Path, capsys: pytest.CaptureFixture
) -> None:
    paths = [str(trained / f"{name}/checkpoints/iter_000002.pth") for name in ("s0", "wide")]
    with pytest.raises(SystemExit):
        main(["test", str(trained / "tiny.py"), "--seeds", "mixed", *paths])
    assert "--seeds: the checkpoints of mixed are of different networks: ESPCN of" in capsys.readouterr().err


def test_names_that_are_taken_or_alone_are_refused() -> None:
    networks: dict[str, nn.Module] = {name: NETWORKS.build({"type": "Bicubic", "scale": 2}) for name in ("a", "b")}
    files = {"a": "a.pth", "b": "b.pth"}
    assert plan_rows(networks, {"c": ["a.pth", "b.pth"]}, files) == {"c": ["a", "b"]}
    with pytest.raises(OptionError, match="seeds: b is the name of another network"):
        plan_rows(networks, {"b": ["a.pth"]}, files)
    with pytest.raises(OptionError, match="seeds: c lacks its checkpoints"):
        plan_rows(networks, {"c": []}, files)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not there")
def test_latex_compiles(tmp_path: Path) -> None:
    many = [scores(30.5), scores(31.0)]
    worst = "a_b & 50% #1 {x} ~^\\ <é> |"
    table = summary(row("[a] *", scores(30)), row(worst, *many), row("* b", scores(31)), row("c", scores(math.inf)))
    images = {str(number): float(number) for number in range(3)}
    comparisons = compare_pairs("set5", "psnr", {"c": images, worst: dict(images)}, True)
    table = Summary(table.rows, FACTS, {"set5": 4}, comparisons)
    compiled(as_latex(table), tmp_path)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not there")
@pytest.mark.slow
def test_a_wide_table_is_made_to_fit_the_page(tmp_path: Path) -> None:
    wide = {f"a set of a long name {number}": scores(30) for number in range(6)}
    images = {name: {"bird": values} for name, values in wide.items()}
    table = Summary([Row("a", "a", 1, 1, [wide], images)], FACTS, dict.fromkeys(wide, 4))
    assert "Overfull" not in compiled(as_latex(table), tmp_path)


def compiled(text: str, folder: Path) -> str:
    """Return the log of LaTeX."""
    page = "\\documentclass{article}\n\\usepackage{booktabs, graphicx}\n\\begin{document}\n" + text
    (folder / "page.tex").write_text(page + "\\end{document}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert result.returncode == 0, result.stdout[-2000:]
    return result.stdout


def test_latex_is_well_formed() -> None:
    text = as_latex(summary(row("a_b", scores(30), scores(31)), row("c", scores(29))))
    body = re.sub(r"\\[{}&%$#_]", "", text)
    assert body.count("{") == body.count("}") and body.count("$") % 2 == 0
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    spec = re.search(r"tabular}\{(\w+)}", text).group(1)
    spans = [sum(int(count) - 1 for count in re.findall(r"multicolumn\{(\d+)}", line)) for line in rows]
    assert {line.count("&") + 1 + span for line, span in zip(rows, spans, strict=True)} == {len(spec)}


def test_what_the_images_cannot_show_has_no_dagger() -> None:
    few = {str(number): float(number) for number in range(5)}
    many = {str(number): float(number) for number in range(9)}
    worse = {name: value - 1 + (number % 2) * 3 for number, (name, value) in enumerate(many.items())}
    broken = {**many, "3": math.nan}
    names = ["best", "worse", "broken"]
    rows = [replace(row(name, scores(3)), trainings=[dict.fromkeys(("set5", "many"), scores(3))]) for name in names]
    comparisons = compare_pairs("set5", "psnr", dict.fromkeys(names, few), True)
    comparisons += compare_pairs("many", "psnr", {"best": many, "worse": worse, "broken": broken}, True)
    table = Summary(rows, FACTS, {"set5": 4}, comparisons)
    assert table.undecided(Column("set5", "psnr")) == set()
    assert len(table.undecided(Column("many", "psnr"))) == 1  # not that with a score that is no number
    assert "Of too few images for a test, and without †: set5." in caption(table) and "3 pairs" in caption(table)
    alone = caption(replace(table, comparisons=comparisons[:3]))
    assert "p ≥" not in alone and "Wilcoxon" not in alone and alone.endswith("without †: set5.")


def test_one_network_is_compared_with_nothing() -> None:
    networks: dict[str, nn.Module] = {"a": NETWORKS.build({"type": "Bicubic", "scale": 2})}
    assert plan_rows(networks, {}, {}) == {"a": ["a"]}
    with pytest.raises(OptionError, match="significance: compares networks, a is alone: score another"):
        plan_rows(networks, {}, {}, significance=True)
