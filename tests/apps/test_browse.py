"""The page of what a network is given: samples are a run's own, each kind of data, sentences, faults."""

from __future__ import annotations

import json
import math
import multiprocessing
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srtoolbox
from srtoolbox.apps.browse import makers
from srtoolbox.apps.browse.feed import Feed, SeenSample
from srtoolbox.apps.browse.makers import Job, make_all
from srtoolbox.apps.browse.severity import anew, climb, psnr_to
from srtoolbox.apps.browse.sheet import draw_sheet
from srtoolbox.apps.browse.steps import Step
from srtoolbox.cli import main
from srtoolbox.config import Config
from srtoolbox.data.datasets.base import SRDataset
from srtoolbox.data.loading.draws import Draw
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.transforms import Compose, Transform
from srtoolbox.errors import ConfigError, DataError, OptionError, SrtoolboxError
from srtoolbox.image import read_image, to_image, write_image
from srtoolbox.plots.grid import CAPTION, GAP, line_height
from srtoolbox.registry import DATASETS, TRANSFORMS
from srtoolbox.resize import imresize
from tests.data.batch import steps  # noqa: F401 - it registers them

STEPS = dict(
    first=dict(type="Sequence", transforms=dict(bright=dict(type="Brightening"), large=dict(type="Enlarging"))),
    some=dict(type="RandomApply", p=0.5, transforms=[dict(type="Brightening", most=3.0)]),
    twice=dict(type="Repeat", transforms=dict(noise=dict(type="GaussianNoise", sigma=[0, 20]))),
    end=dict(type="Fitting"),
)


def config_of(dataset: dict[str, Any], **model: object) -> Config:
    """The config of a training on a dataset; its losses need weights that are nowhere."""
    losses = dict(lpips=dict(type="LPIPSLoss"), feature=dict(type="PerceptualLoss", weights="nowhere.pth"))
    network = dict(type="MSRResNet", scale=2)
    train = dict(dataset=dataset, batch_size=4)
    return Config(dict(model=dict(type="Restorer", generator=network, losses=losses, **model), data=dict(train=train)))


def gt_only(folder: Path, **more: object) -> dict[str, Any]:
    flips = [dict(type="RandomHorizontalFlip"), dict(type="RandomTranspose")]
    return dict(type="GTOnlyDataset", gt=str(folder), scale=2, gt_size=40, transforms=flips, **more)


def pipeline(**more: object) -> dict[str, Any]:
    return dict(type="DegradationPipeline", scale=2, gt_size=32, steps=STEPS, **more)


@pytest.fixture
def pairs(photo_folder: Path, tmp_path: Path) -> dict[str, Any]:
    for file in photo_folder.iterdir():
        write_image(tmp_path / "lq" / file.name, imresize(read_image(file), 0.5))
    return dict(type="PairedDataset", gt=str(photo_folder), lq=str(tmp_path / "lq"), scale=2, gt_size=40)


# ---- samples


def test_the_samples_are_those_of_a_run(photo_folder: Path) -> None:
    config = config_of(gt_only(photo_folder), preprocess=pipeline(share="batch", sharpen=dict(type="USMSharpening")))
    config["data"]["train"]["pool"] = 10
    feed = Feed(config, seed=3)
    preparation = feed.preprocess
    begin = lambda batch, draws: preparation.begin(batch, draws, 4)  # noqa: E731
    loader = build_train_loader(feed.dataset, 4, seed=3, start=8, begin=begin)
    loader._draws = iter(srtoolbox.data.loading.draws.EndlessSampler(feed.dataset, 4, 3, 8, pool=10))
    batches = [next(loader) for _ in range(2)]
    finished = [preparation.finish(batch) for batch in batches]
    seen = list(islice(feed.samples(9), 7))
    for place, sample in enumerate(seen, 1):
        batch, row = divmod(place, 4)
        assert sample.key == batches[batch]["key"][row]
        assert sample.draw.number == int(batches[batch]["draw"][row])
        assert list(sample.images) == ["lq", "gt", "gt_usm"]
        for name, image in sample.images.items():
            assert np.array_equal(image, to_image(finished[batch][name][row]))
    assert len({sample.draw.number // 4 for sample in seen[:3]}) > 1  # the pool mixes


def test_steps_have_the_names_of_the_config_and_what_was_drawn(photo_folder: Path) -> None:
    feed = Feed(config_of(gt_only(photo_folder), preprocess=pipeline()))
    assert feed.untold == ["RandomHorizontalFlip", "RandomTranspose"]
    samples = list(islice(feed.samples(), 12))
    for sample in samples:
        names = [step.name for step in sample.steps]
        assert [name for name in names if name != "some.Brightening"] == [
            "first.bright", "first.large", "twice.noise", "twice.noise (time 2)", "end"
        ]  # fmt: skip
        assert 0 <= sample.steps[0].values["own"] < 20
        assert set(sample.steps[1].values) == {"size[0]", "size[1]"}
    some = sum("some.Brightening" in [step.name for step in sample.steps] for sample in samples)
    assert 0 < some < 12


def test_the_parameters_told_are_those_used(photo_folder: Path) -> None:
    """Without noise, LQ is GT and what is told to have been added."""
    both = dict(one=dict(type="Brightening"), two=dict(type="Brightening", most=2.0))
    made = dict(type="DegradationPipeline", scale=1, gt_size=32, steps=both, share="batch")
    on_sets = dict(type="GTOnlyDataset", gt=str(photo_folder), scale=1, gt_size=40)
    ways = [
        config_of(on_sets, preprocess=made),
        config_of({**on_sets, "pipeline": made}),
        config_of({**on_sets, "degradations": both}),
    ]
    for config in ways:
        for sample in islice(Feed(config).samples(), 5):
            levels = sum(step.values["own"] + step.values["shared"] for step in sample.steps)
            expected = np.minimum(sample.images["gt"] + levels, 255)
            assert [step.name for step in sample.steps] == ["one", "two"]
            assert np.abs(sample.lq - expected).max() <= 1.01


def test_the_same_crop_is_degraded_anew(photo_folder: Path) -> None:
    inner = dict(bright=dict(type="Brightening"), jpeg=dict(type="JPEGCompression"))
    ways = [
        config_of(gt_only(photo_folder), preprocess=pipeline()),
        config_of({**gt_only(photo_folder), "pipeline": pipeline()}),
        config_of(gt_only(photo_folder, degradations=inner)),
    ]
    for config in ways:
        feed = Feed(config)
        (sample,) = islice(feed.samples(5), 1)
        variants = feed.make([sample.draw] * 6, range(6))
        assert all(np.array_equal(each.images["gt"], sample.images["gt"]) for each in variants)
        assert len({each.lq.tobytes() for each in variants}) == 6
        again = [each for job in anew([sample], 6, 4) for each in feed.make(*job)]
        assert all(np.array_equal(a.lq, b.lq) and a.steps == b.steps for a, b in zip(variants, again, strict=True))
        (unchanged,) = islice(feed.samples(5), 1)
        assert np.array_equal(unchanged.lq, sample.lq)
        (ladder,) = climb([sample], variants, 6)
        values = [level.psnr for level in ladder.levels]
        assert values == sorted(values, reverse=True) and len(values) == 6
        assert values[0] == psnr_to(ladder.clean, ladder.levels[0].lq)


def test_pairs_have_nothing_to_draw_anew(pairs: dict[str, Any]) -> None:
    feed = Feed(config_of(pairs))
    assert not feed.varies
    (sample,) = islice(feed.samples(), 1)
    image = read_image(Path(pairs["gt"], f"{sample.key}.png"))
    assert np.array_equal(sample.place.cut(image), sample.images["gt"])
    concat = Feed(config_of(dict(type="ConcatDataset", datasets=dict(one=pairs, two=pairs))))
    assert len(concat.dataset) == 12 and next(concat.samples()).images.keys() == {"lq", "gt"}


def test_images_that_are_never_drawn_are_one_error(pairs: dict[str, Any]) -> None:
    other = {**pairs, "max_images": 1}
    feed = Feed(config_of(dict(type="ConcatDataset", datasets=[other, pairs], weights=[1, 0])))
    with pytest.raises(DataError, match=r"^the training draws none of these images: woman2$"):
        next(feed.samples(only={"woman2"}))


class Twice(Transform):
    """A plugin's group, whose parts no config lists."""

    def __init__(self) -> None:
        self.inner = Compose([dict(type="Brightening"), dict(type="Brightening")])

    def __call__(self, sample: dict, rng: object) -> dict:
        return self.inner(sample, rng)

    def parts(self) -> list[Transform]:
        return [self.inner]

    def add_to(self, plan: object, rngs: object, rows: np.ndarray) -> None:
        self.inner.add_to(plan, rngs, rows)


def test_groups_of_plugins_have_their_types_for_names(register: Callable, photo_folder: Path) -> None:
    register(TRANSFORMS, Twice)
    feed = Feed(config_of(gt_only(photo_folder, degradations=dict(mine=dict(type="Twice")))))
    assert [step.name for step in next(feed.samples()).steps] == ["mine.Brightening", "mine.Brightening 2"]


def test_whole_images_are_degraded_whole(photo_folder: Path) -> None:
    dataset = dict(type="ConcatDataset", datasets=[gt_only(photo_folder), gt_only(photo_folder, crop="center")])
    feed = Feed(config_of(dataset, preprocess=pipeline()), whole=True)
    sizes = {sample.images["gt"].shape[:2] for sample in islice(feed.samples(), 4)}
    assert sizes <= {(60, 72), (72, 60)}
    own = Feed(config_of({**gt_only(photo_folder), "pipeline": pipeline()}), whole=True)
    sample = next(own.samples())
    assert sorted(sample.lq.shape[:2]) == [30, 36] and sample.place is None and sample.steps


class Doubled(SRDataset):
    """A plugin's dataset: planes of one value."""

    scale = 2

    def __len__(self) -> int:
        return 3

    def keys(self) -> list[str]:
        return ["a", "b", "c"]

    def whole(self, index: int) -> dict[str, Any]:
        return {"lq": np.full((24, 24, 3), 9, np.uint8), "gt": np.full((48, 48, 3), 9, np.uint8), "key": "abc"[index]}

    def sample(self, draw: Any) -> dict[str, Any]:
        return self.whole(draw.index)

    def digest(self) -> str:
        return ""


class Bare:
    """A plugin's dataset that derives from nothing: it has what a training asks for, and always LQ."""

    scale = 2
    __len__, keys, whole, sample, digest = (
        getattr(Doubled, name) for name in ("__len__", "keys", "whole", "sample", "digest")
    )
    __getitem__, __getitems__, draw_weights = (
        getattr(SRDataset, name) for name in ("__getitem__", "__getitems__", "draw_weights")
    )


class Halved:
    """A plugin's preprocess: any function of float batches."""

    def __call__(self, images: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {**images, "lq": images["lq"] / 2, "other": images["gt"]}


def test_plugins_work(register: Callable, tmp_path: Path) -> None:
    register(DATASETS, Doubled)
    register(TRANSFORMS, Halved)
    config = config_of(dict(type="Doubled"), preprocess=dict(type="Halved"))
    done = srtoolbox.browse_data(config, tmp_path / "page.html", samples=5, like=None)
    assert done.untold == ["Halved"] and done.ladders == []
    assert set(done.samples[0].images) == {"lq", "gt", "other"} and done.samples[0].lq.max() == 4
    assert "too small, or flat" in done.page.read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [Bare, Doubled])
def test_a_dataset_that_goes_on_making_lq_works_with_a_pipeline(
    kind: type, register: Callable, photo_folder: Path, tmp_path: Path
) -> None:
    register(DATASETS, kind)
    dataset: dict[str, Any] = dict(type=kind.__name__)
    if kind is Doubled:  # beside one that leaves it out
        dataset = dict(type="ConcatDataset", datasets=[dataset, gt_only(photo_folder) | dict(gt_size=48)])
    config = config_of(dataset, preprocess=pipeline())
    done = srtoolbox.browse_data(config, tmp_path / "page.html", samples=24, count=1)
    assert {sample.lq.shape[:2] for sample in done.samples} == {(16, 16)}


# ---- many samples


@pytest.fixture(params=["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def start_method(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {request.param} here")
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("start_method")
def test_processes_make_the_same_page(photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = [dict(type="GaussianNoise", sigma=[0, 20]), dict(type="Resize", to="lq")]
    made = dict(type="DegradationPipeline", scale=2, gt_size=32, steps=noise)
    config = config_of(gt_only(photo_folder), preprocess=made)
    config["data"]["train"]["workers"] = 2
    begun: list[int] = []
    original = makers.TrainLoader.__init__
    monkeypatch.setattr(makers.TrainLoader, "__init__", lambda self, *a: begun.append(a[2]) or original(self, *a))
    for workers in (None, 0):
        few: dict[str, Any] = dict(count=2, samples=9, severity=5, workers=workers)
        done = srtoolbox.browse_data(config, tmp_path / f"{workers}.html", **few)
        assert done.measured == 9 and len(done.ladders) == 4
    assert begun == [2]
    assert (tmp_path / "None.html").read_bytes() == (tmp_path / "0.html").read_bytes()


def test_a_fault_in_a_process_is_one_error(photo_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gt"
    shutil.copytree(photo_folder, folder)
    feed = Feed(config_of(gt_only(folder)))
    jobs = [Job(draws) for draws in islice(feed.batches(), 4)]
    for file in folder.iterdir():
        file.write_bytes(b"no image")
    with pytest.raises(SrtoolboxError, match="damaged"):
        list(make_all(feed, jobs, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same(photo_folder: Path) -> None:
    config = config_of(gt_only(photo_folder), preprocess=pipeline(sharpen=dict(type="USMSharpening")))
    devices = map(torch.device, ("cpu", "cuda"))
    first, second = (list(islice(Feed(config, device=device).samples(), 6)) for device in devices)
    for one, other in zip(first, second, strict=True):
        assert one.steps == other.steps and one.images.keys() == other.images.keys()
        assert np.abs(one.images["gt_usm"].astype(int) - other.images["gt_usm"]).max() <= 1


# ---- the page and the command


def test_a_sheet_puts_steps_below_all_images_and_holds_as_many_samples_as_viewers_open() -> None:
    def sample(count: int, height: int) -> SeenSample:
        images = {"lq": np.zeros((height // 4, 16, 3), np.uint8), "gt": np.zeros((height, 64, 3), np.uint8)}
        return SeenSample("a", Draw(0, 0, 0), None, images, [Step(f"step {n}", {}) for n in range(count)])

    line = line_height(CAPTION)
    few, many = (draw_sheet([sample(count, 64)]).shape[0] for count in (8, 12))
    assert many - few == 2 * line  # 4 lines more in 2 columns
    high = draw_sheet([sample(1, 64 * 6)] * 16).shape[0]
    assert high == 2 * GAP + line + 9 * (6 * 256 + 4 * line + GAP)  # 16 and 12 would be higher than MAX_SIDE
    one = draw_sheet([sample(1, 64 * 80)])  # of 80 times its width, which would be too high at 256 px
    assert one.shape[1] == 3 * (128 + GAP) + GAP and 80 * 128 < one.shape[0] < 16_000


def test_the_command_writes_a_page_and_a_sheet(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    made = config_of(gt_only(photo_folder), preprocess=pipeline(sharpen=dict(type="USMSharpening")))
    Path("own.json").write_text(json.dumps(made.to_dict()))
    options = ["own.json", "-o", "out/page", "-n", "3", "--samples", "9", "--like", str(photo_folder)]
    options += ["--seed", "5", "--severity", "12", "--workers", "0", "--device", "cpu"]
    Path("out").mkdir()
    Path("out/page.png").write_bytes(b"of the user")
    assert main(["browse_data", *options]) == 0
    printed = capsys.readouterr().out
    assert "LQ of 9 samples:" in printed and "Your photos are" in printed and "page: " in printed
    page = Path("out/page.html").read_text(encoding="utf-8")
    for text in (
        "first.bright",
        "twice.noise (time 2)",
        "gt_usm",
        "3 crops from number 0 of the run on, seed 5",
        "Your photos",
    ):
        assert text in page
    assert not re.search(r"""(src|href)="(?!data:|#)""", page)
    assert len(page) < 700_000
    assert Path("out/page.png").read_bytes() == b"of the user"
    sheet = read_image("out/page_sheet.png")
    assert sheet.shape[1] == 4 * 266 + 10 and sheet.shape[0] > 3 * 256
    before = Path("out/page.html").read_bytes()
    assert main(["browse_data", *options]) == 0
    assert Path("out/page.html").read_bytes() == before
    quick = ["browse_data", "own.json", "-n", "1", "--samples", "0", "--severity", "0"]
    assert main([*quick, "--whole", "--only", "cat1", "model.generator.type='ESPCN'"]) == 0
    page = Path("browse.html").read_text(encoding="utf-8")
    assert "the network sees their luma (Y) alone" in page
    assert page.count("No samples were measured") == 2 and "No crops were drawn again" in page
    assert "1 whole image" in page and "cat1" in page and "cat0" not in page


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(out="x.png"), OptionError, r"^out is the page, an \.html file"),
        (dict(out="."), OptionError, r"^out is the page, an \.html file"),
        (dict(only=["cat7"]), OptionError, r"^only: the training set has no image 'cat7'\. Did you mean 'cat"),
        (dict(workers=-1), OptionError, "^workers is a whole number from 0 up, got -1"),
        (dict(device="xpu:9"), ConfigError, "^device 'xpu:9' is not usable here"),
        (dict(draw=-1), OptionError, "^draw is a whole number from 0 up, got -1"),
        (dict(like="nowhere"), DataError, "^nowhere: no such folder"),
        (dict(out="/dev/null/x.html"), SrtoolboxError, "^/dev/null.*: "),
        (dict(like="x", samples=0), OptionError, "^like compares statistics of samples"),
    ],
)
def test_impossible_arguments_are_one_error(
    photo_folder: Path, tmp_path: Path, options: dict[str, Any], error: type, message: str
) -> None:
    config = config_of(gt_only(photo_folder))
    with pytest.raises(error, match=message):
        srtoolbox.browse_data(config, **{"out": tmp_path / "x.html", "samples": 2, **options})
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("data"), "data.train is missing: without it nothing is given to a network"),
        (lambda config: config["data"]["train"].update(batch_size=0), "data.train.batch_size: at least 1 is needed"),
        (
            lambda config: config["data"]["train"]["dataset"].update(gt_sice=3),
            "takes no 'gt_sice'. Did you mean 'gt_size'",
        ),
        (lambda config: config["model"].update(preprocess=dict(type="Blurr")), "model.preprocess: no transform named"),
        (
            lambda config: config["model"].update(preprocess=pipeline() | dict(steps=[])),
            "model.preprocess: the steps of the pipeline make LQ of 40x40",
        ),
        (
            lambda config: config["model"].update(preprocess=pipeline() | dict(steps=[dict(type="RandomTranspose")])),
            "RandomTranspose is no degradation of batches",
        ),
        (
            lambda config: config["model"].update(preprocess=pipeline() | dict(steps=[dict(type="Blur", sinc=2)])),
            "model.preprocess.steps.0: cannot be built: Blur: sinc is a probability",
        ),
        (lambda config: config["data"]["train"]["dataset"].update(gt="none"), "the training set is not there: none"),
    ],
)
def test_faults_of_the_data_are_told_and_those_of_the_rest_are_not(
    photo_folder: Path, tmp_path: Path, change: Callable, message: str
) -> None:
    config = config_of(gt_only(photo_folder)).to_dict()
    config["optim"] = dict(generator=dict(optimizer=dict(type="NoSuch")))
    assert not srtoolbox.browse_data(config, tmp_path / "x.html", samples=0, count=1).is_luma
    change(config)
    with pytest.raises(SrtoolboxError) as caught:
        srtoolbox.browse_data(config, tmp_path / "y.html", samples=0)
    assert str(caught.value).count("cannot be built") <= 1
    assert message in str(caught.value) and isinstance(caught.value, ConfigError | DataError)


def test_psnr_of_equal_images_is_infinite() -> None:
    image = np.zeros((4, 4, 1), np.uint8)
    assert math.isinf(psnr_to(image, image)) and psnr_to(image, image + 255) == 0
