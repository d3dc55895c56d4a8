"""Curves: what is read from a log, torn or not, and what is drawn, looked up in matplotlib's own objects."""

import itertools
import json
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from srtoolbox.errors import DataError
from srtoolbox.image import read_image
from srtoolbox.plots import charts, curves
from srtoolbox.plots.curves import plot_runs
from srtoolbox.plots.run_log import read_baseline, read_run

SETS = (("train", 10), ("test", 0))


def write_log(folder: Path, *, count: int = 10, shift: float = 0.0, tail: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(1, count + 1):
        rates = {"generator": 1e-3 / i, "discriminator": 1e-4}
        lines.append({"kind": "train", "iter": 100 * i, "lr": rates, "terms": {"pixel": shift + 1 / i}, "time": 0.1})
        if i % 2 == 0:
            scores = {"set5/psnr": 30 + i + shift, "set5/ssim": 0.9, "set5/seconds": 0.1}
            lines.append({"kind": "eval", "iter": 100 * i, "scores": scores})
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return folder


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures drawn in a test."""
    drawn: list[Figure] = []

    class Recorded(Figure):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            drawn.append(self)

    monkeypatch.setattr(charts, "Figure", Recorded)
    return drawn


def test_read_run(tmp_path: Path) -> None:
    run = read_run(write_log(tmp_path / "espcn"))
    assert run.name == "espcn"
    assert run.terms["pixel"].iters.tolist() == list(range(100, 1100, 100))
    assert run.terms["pixel"].values.tolist() == [1 / i for i in range(1, 11)]
    assert run.scores["set5/psnr"].values.tolist() == [32, 34, 36, 38, 40]
    assert set(run.rates) == {"generator", "discriminator"}
    assert read_run(tmp_path / "espcn" / "scores.jsonl").name == "espcn"


def test_more_runs_than_colours_differ_by_their_lines(tmp_path: Path, figures: list[Figure]) -> None:
    count = len(charts.COLOURS) + 2
    runs = [write_log(tmp_path / f"run{number}", shift=-number) for number in range(count)]
    plot_runs(runs, tmp_path / "runs.svg", keys=["set5/psnr"])
    (figure,) = figures
    looks = [(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines]
    assert len(set(looks)) == count and [style for _, style in looks] == ["-"] * (count - 2) + ["--"] * 2
    legend = [(line.get_color(), line.get_linestyle()) for line in figure.legends[0].get_lines()]
    assert legend == looks


def test_last_line_cut_anywhere_is_ignored(tmp_path: Path) -> None:
    whole = read_run(write_log(tmp_path / "a")).terms["pixel"]
    tail = json.dumps({"kind": "train", "iter": 1100, "lr": {}, "terms": {"pixel": 7.0}})
    for length in range(len(tail)):
        torn = read_run(write_log(tmp_path / "b", tail=tail[:length])).terms["pixel"]
        assert np.array_equal(torn.iters, whole.iters)
    assert read_run(write_log(tmp_path / "b", tail=tail + "\n")).terms["pixel"].values[-1] == 7


def test_a_last_line_without_its_iteration_leaves_no_empty_curve(tmp_path: Path) -> None:
    run = read_run(write_log(tmp_path, tail='{"terms": {"gan": 1.0}, "lr": {"new": 0.1}}'))
    assert set(run.terms) == {"pixel"} and "new" not in run.rates


def test_of_repeated_iterations_the_later_counts(tmp_path: Path) -> None:
    again = json.dumps({"kind": "train", "iter": 300, "lr": {}, "terms": {"pixel": "inf"}}) + "\n"
    curve = read_run(write_log(tmp_path, tail=again)).terms["pixel"]
    assert curve.iters.tolist() == list(range(100, 1100, 100))
    assert math.isinf(curve.values[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no records yet"),
        ("\n\n", "no records yet"),
        ('{"kind": "trai\n{"iter": 2, "terms": {}}\n', r"jsonl:1: not a record.*remove"),
        ('{"iter": 1, "terms": {"a": 1}}\n[1]\n{"iter": 2}\n', "jsonl:2: not a record"),
        ('{"terms": {"a": 1}}\n{"iter": 2}\n', "jsonl:1: not a record"),
        ('{"iter": 1, "terms": {"a": null}}\n{"iter": 2}\n', "jsonl:1: not a record"),
    ],
)
def test_bad_logs_are_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "scores.jsonl").write_text(text)
    with pytest.raises(DataError, match=words):
        read_run(tmp_path)


def test_missing_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such log"):
        read_run(tmp_path / "absent")
    with pytest.raises(DataError, match=r"scores\.jsonl: no such log"):
        read_run(tmp_path)


def test_panels_curves_and_baseline(tmp_path: Path, figures: list[Figure]) -> None:
    logs = [write_log(tmp_path / "a"), write_log(tmp_path / "b", shift=0.5)]
    keys = plot_runs(logs, tmp_path / "out" / "curves.png", baseline={"set5/psnr": 31.5, "set14/psnr": 3.0})
    assert keys == ["set5/psnr", "set5/ssim", "pixel", "lr"]
    (figure,) = figures
    psnr, _, pixel, rate = figure.axes
    assert psnr.get_title(loc="left") == "PSNR on set5"
    first, second, dashed = psnr.lines  # from the highest down
    assert first.get_ydata().tolist() == [32.5, 34.5, 36.5, 38.5, 40.5]
    assert second.get_ydata().tolist() == [32, 34, 36, 38, 40]
    assert first.get_color() != second.get_color()
    assert list(dashed.get_ydata()) == [31.5, 31.5]
    assert dashed.get_linestyle() not in ("-", "solid")
    assert pixel.lines[0].get_xdata().tolist() == list(range(100, 1100, 100))
    assert len(rate.lines) == 4  # two networks of two runs, told apart by the line style
    assert [text.get_text() for text in rate.get_legend().get_texts()] == ["generator", "discriminator"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a", "bicubic"]
    plot_runs(logs, tmp_path / "x.svg", baseline={"set5/psnr": 31.5}, baseline_name="input")
    assert figures.pop().legends[0].get_texts()[-1].get_text() == "input"
    assert [axis.get_yscale() for axis in figure.axes] == ["linear"] * 4
    assert read_image(tmp_path / "out" / "curves.png").shape[2] == 3


def test_joined_sets_share_a_panel_each_with_its_bicubic_line(tmp_path: Path, figures: list[Figure]) -> None:
    records = [
        {"iter": i, "terms": {"mse": 1 / i}, "scores": {f"{s}/{m}": i + k for s, k in SETS for m in ("psnr", "mse")}}
        for i in (1, 2, 3)
    ]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    bicubic = {"train/psnr": 30.0, "test/psnr": 28.0, "test/mse": 60.0}
    keys = plot_runs([tmp_path], tmp_path / "x.png", join=True, baseline=bicubic)
    assert keys == ["psnr", "mse", "loss/mse"]
    psnr, mse, loss = figures[0].axes[:3]
    assert [axis.get_title(loc="left") for axis in (psnr, mse, loss)] == ["PSNR", "MSE", "loss: mse"]
    assert [list(line.get_ydata()) for line in psnr.lines] == [[11, 12, 13], [1, 2, 3], [30, 30], [28, 28]]
    train, test, *dashed = (line.get_color() for line in psnr.lines)
    assert train != test and dashed == [train, test]
    assert [text.get_text() for text in psnr.get_legend().get_texts()] == ["train", "test"]
    assert len(mse.lines) == 3 and len(loss.lines) == 1
    assert plot_runs([tmp_path], tmp_path / "x.png", join=True, keys=["psnr"]) == ["psnr"]


def test_log_scale_and_keys(tmp_path: Path, figures: list[Figure]) -> None:
    log = write_log(tmp_path / "a")
    assert plot_runs([log], tmp_path / "x.png", log_scale=True, keys=["lr", "set5/psnr"]) == ["lr", "set5/psnr"]
    assert [axis.get_yscale() for axis in figures[0].axes] == ["log", "linear"]
    assert plot_runs([log], tmp_path / "x.png", keys=["set5/seconds"]) == ["set5/seconds"]
    with pytest.raises(DataError, match=r"'pixl'.*Did you mean 'pixel'"):
        plot_runs([log], tmp_path / "x.png", keys=["pixl"])
    with pytest.raises(DataError, match="baseline has set14/psnr"):
        plot_runs([log], tmp_path / "x.png", baseline={"set14/psnr": 1.0})


def test_values_that_are_not_finite_leave_gaps(tmp_path: Path, figures: list[Figure]) -> None:
    tail = "".join(json.dumps({"iter": i, "terms": {"pixel": v}}) + "\n" for i, v in ((1100, "nan"), (1200, 2.0)))
    for count in (10, 200):
        plot_runs([write_log(tmp_path / str(count), count=count, tail=tail)], tmp_path / "x.png", log_scale=True)
    assert np.isnan(figures[0].axes[2].lines[0].get_ydata()).sum() == 1
    smooth = figures[1].axes[2].lines[1].get_ydata()
    assert np.isfinite(smooth).all()


def test_smoothing_is_the_mean_of_the_window() -> None:
    values = np.random.default_rng(0).random(200)
    values[50] = np.nan
    expected = [np.nanmean(values[max(0, i - 3) : i + 4]) for i in range(200)]
    assert np.allclose(curves._smooth(values), expected)


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path: Path, figures: list[Figure]) -> None:
    logs = [write_log(tmp_path / "one" / "espcn"), write_log(tmp_path / "two" / "espcn")]
    plot_runs(logs, tmp_path / "x.png")
    assert legend_texts(figures[0]) == ["one/espcn", "two/espcn"]
    plot_runs([logs[0], logs[0]], tmp_path / "x.png")
    assert legend_texts(figures[1]) == ["espcn", "espcn (2)"]


def legend_texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def write_scores(folder: Path, scores: list[float], rates: list[float] = (), metric: str = "psnr") -> Path:
    """A run with one score a hundred iterations."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [{"kind": "eval", "iter": 100 * i, "scores": {f"set5/{metric}": v}} for i, v in enumerate(scores, 1)]
    lines += [{"kind": "train", "iter": i, "lr": {"generator": r}, "terms": {}} for i, r in enumerate(rates, 1)]
    (folder / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_each_of_many_runs_has_its_last_value_in_the_order_of_the_values(tmp_path: Path, figures: list[Figure]) -> None:
    ends = {"lr_1e-3": 31.0, "lr_1e-4": 30.0, "lr_2e-4": 30.5, "lr_5e-4": 31.52, "lr_8e-5": 29.0}
    logs = [write_scores(tmp_path / name, [28.0, end]) for name, end in ends.items()]
    plot_runs(logs, tmp_path / "x.png")
    assert legend_texts(figures[0]) == ["lr_5e-4", "lr_1e-3", "lr_2e-4", "lr_1e-4", "lr_8e-5"]
    plot_runs(logs, tmp_path / "x.png", join=True)
    for figure in figures:
        assert [text.get_text() for text in figure.axes[0].texts] == ["31.52", "31.00", "30.50", "30.00", "29.00"]
    values = figures[0].axes[0].texts
    heights = [text.xy[1] for text in values]
    assert all(above - below >= 0.0849 for above, below in itertools.pairwise(heights))
    lines = {line.get_color(): line.get_ydata()[-1] for line in figures[0].axes[0].lines}
    assert [lines[text.get_color()] for text in values] == [31.52, 31.0, 30.5, 30.0, 29.0]


def test_ticks_of_scores_that_hardly_change_are_whole_values(tmp_path: Path, figures: list[Figure]) -> None:
    plot_runs([write_scores(tmp_path / "run", [30.1455, 30.1458])], tmp_path / "x.png")
    axis = figures[0].axes[0].yaxis
    assert axis.get_offset_text().get_text() == ""
    assert all(text.get_text().startswith("30.14") for text in axis.get_ticklabels())


def test_a_run_that_diverged_does_not_flatten_the_others_and_is_named(tmp_path: Path, figures: list[Figure]) -> None:
    good = [write_scores(tmp_path / name, [28.0, 30.0, 31.0 + shift]) for name, shift in (("a", 0), ("b", 0.2))]
    bad = write_scores(tmp_path / "lr_1", [28.0, -40.0, -90.0])
    broken = write_scores(tmp_path / "nan", [28.0, 29.0, math.nan])
    plot_runs([*good, bad, broken], tmp_path / "x.png")
    axis = figures[0].axes[0]
    low, high = axis.get_ylim()
    assert 27 < low < 28 and 31.2 < high < 32
    assert axis.get_xlabel() == "iteration\nnan: not finite at its end\nlr_1 lies beyond: -90"
    plot_runs([*good, bad], tmp_path / "x.png", baseline={"set5/psnr": 25.0})
    assert 24 < figures.pop().axes[0].get_ylim()[0] < 25, "bicubic's line is in sight"
    plot_runs(good, tmp_path / "x.png")
    assert figures[1].axes[0].get_xlabel() == "iteration"
    plot_runs([good[0], bad], tmp_path / "x.png")
    assert figures[2].axes[0].get_ylim()[0] > 27


@pytest.mark.parametrize(("start", "end"), [(0.85, 0.45), (0.85, 0.02), (0.7, 0.02)])
def test_nor_does_its_ssim_though_that_falls_no_lower_than_0(
    tmp_path: Path, figures: list[Figure], start: float, end: float
) -> None:
    sound = [write_scores(tmp_path / n, [start, 0.9, 0.91 + d], metric="ssim_y") for n, d in (("a", 0), ("b", 0.002))]
    bad = write_scores(tmp_path / "lr_1", [start, 0.5, end], metric="ssim_y")
    for others in (sound, sound[:1]):
        plot_runs([*others, bad], tmp_path / "x.png")
        axis = figures.pop().axes[0]
        assert axis.get_ylim()[0] > start - 0.02 and axis.get_xlabel() == f"iteration\nlr_1 lies beyond: {end:.3g}"
    for last in (0.8, 0.86):
        near = write_scores(tmp_path / "near", [0.75, last], metric="ssim_y")
        plot_runs([*sound, near], tmp_path / "x.png")
        assert figures.pop().axes[0].get_xlabel() == "iteration"


@pytest.mark.parametrize("ends", [[30.1, 31.0], [12.0, 31.0], [30.0, 30.4, 30.8, 31.2, 33.5]])
def test_runs_that_only_differ_are_no_outliers(tmp_path: Path, figures: list[Figure], ends: list[float]) -> None:
    logs = [write_scores(tmp_path / str(number), [end - 1, end]) for number, end in enumerate(ends)]
    plot_runs(logs, tmp_path / "x.png")
    axis = figures[0].axes[0]
    assert axis.get_xlabel() == "iteration"
    assert axis.get_ylim()[0] < min(ends) - 1 and axis.get_ylim()[1] > max(ends)


def test_no_name_in_the_legend_is_cut_off(tmp_path: Path, figures: list[Figure]) -> None:
    long = [write_scores(tmp_path / f"{'a_very_long_name_of_a_run_' * 5}{n}", [28.0, 30.0 + n]) for n in range(3)]
    short = [write_scores(tmp_path / f"msrresnet_x4_div2k_lr_{n}e-4", [28.0, 30.0 + n]) for n in range(5)]
    for logs in (long, short):
        plot_runs(logs, tmp_path / "x.png", keys=["set5/psnr"])
        figure = figures[-1]
        box = figure.legends[0].get_window_extent(figure.canvas.get_renderer())
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert len(set(legend_texts(figure))) == len(logs)
    assert legend_texts(figures[-1])[0] == "msrresnet_x4_div2k_lr_4e-4"


def test_learning_rates_jump_upright_and_never_zigzag(tmp_path: Path, figures: list[Figure]) -> None:
    step = write_scores(tmp_path / "step", [28.0], [1.0, 1.0, 1.0, 0.1, 0.1, 0.1])
    cyclic = write_scores(tmp_path / "cyclic", [28.0], [0.2, 1.0, 0.3, 0.9, 0.4, 0.8, 0.5, 0.7, 0.6, 1.0])
    for log in (step, cyclic):
        plot_runs([log], tmp_path / "x.png", keys=["lr"])
    upright, points = (figure.axes[0].lines[0] for figure in figures)
    assert list(zip(upright.get_xdata(), upright.get_ydata(), strict=True))[2:5] == [(3, 1.0), (4, 1.0), (4, 0.1)]
    assert points.get_linestyle() == "None" and points.get_marker() == "o"
    plot_runs([write_scores(tmp_path / "few", [28.0], [1.0, 0.5, 0.0])], tmp_path / "x.png", keys=["lr"])
    assert figures[-1].axes[0].lines[0].get_ydata().tolist() == [1.0, 0.5, 0.0]  # a slope, as far as is known


def test_rates_of_other_sizes_are_told_apart(tmp_path: Path, figures: list[Figure]) -> None:
    runs = [write_scores(tmp_path / name, [28.0], [peak, peak / 2, 0.0]) for name, peak in (("a", 1.0), ("b", 2e-4))]
    plot_runs(runs, tmp_path / "x.png", keys=["lr"])
    plot_runs(runs[:1], tmp_path / "x.png", keys=["lr"])
    assert [figure.axes[0].get_yscale() for figure in figures] == ["log", "linear"]
    axis = figures[0].axes[0]
    heights = axis.transData.transform([line.get_xydata()[-1] for line in axis.lines])[:, 1]
    assert not np.isfinite(heights).any()  # a rate of 0 is not drawn: no upright line down to minus infinity


def test_terms_below_zero_keep_a_linear_axis(tmp_path: Path, figures: list[Figure]) -> None:
    records = [{"iter": i, "terms": {"pixel": 1 / i, "d_fake": -0.5}, "lr": {}} for i in (1, 2, 3)]
    (tmp_path / "scores.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    plot_runs([tmp_path], tmp_path / "x.png", log_scale=True)
    assert [axis.get_yscale() for axis in figures[0].axes[:2]] == ["log", "linear"]


def test_nothing_global_is_changed(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    plot_runs([write_log(tmp_path)], tmp_path / "x.png")
    assert dict(mpl.rcParams) == before


def test_read_baseline(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"network": {"a/psnr": 1}, "bicubic": {"set5/psnr": 30.4, "set5/ssim": "nan"}}))
    assert read_baseline(path).scores["set5/psnr"] == 30.4
    images = {"psnr": 30.4, "ssim": 0.869, "images": {"baby": {"psnr": 33.9}}}
    path.write_text(json.dumps({"espcn": {}, "Bicubic": {"set5": images}}))
    assert read_baseline(path) == ("bicubic", {"set5/psnr": 30.4, "set5/ssim": 0.869})
    path.write_text(json.dumps({"espcn": {}, "Input": {"set5": images}}))  # of a denoiser
    assert read_baseline(path) == ("input", {"set5/psnr": 30.4, "set5/ssim": 0.869})
    path.write_text(json.dumps({"espcn": {}}))
    with pytest.raises(DataError, match=r"scores\.json: no entry named 'bicubic'.*'espcn'"):
        read_baseline(path)
    for text in ("[", "[1]", "3"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"scores\.json: "):
            read_baseline(path)
    with pytest.raises(DataError, match="absent"):
        read_baseline(tmp_path / "absent.json")


def test_titles_set_the_protocol_apart() -> None:
    keys = ("set5/psnr", "set5/psnr_y_direct", "a/b/ssim_y", "lpips_vgg/my_error", "pixel", "lr")
    others = ("d_real", "d_fake", "grad_norm", "grad_norm_generator", "loss/mse")
    assert [curves.panel_title(key, "/" in key) for key in keys] == [
        "PSNR on set5",
        "PSNR (y_direct) on set5",
        "SSIM (y) on a/b",
        "MY_ERROR on lpips_vgg",
        "loss: pixel",
        "learning rate",
    ]
    assert [curves.panel_title(key, False) for key in others] == [
        "D(GT), mean output (d_real)",
        "D(SR), mean output (d_fake)",
        "gradient norm",
        "gradient norm: generator",
        "loss: mse",
    ]
