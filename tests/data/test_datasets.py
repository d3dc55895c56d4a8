"""Datasets: the right pixels, whole images for evaluation, all faults at once."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

import srtoolbox.data.datasets.gt_only as gt_only
from srtoolbox.data.datasets.concat import ConcatDataset
from srtoolbox.data.datasets.folder import FolderDataset
from srtoolbox.data.datasets.gt_only import GTOnlyDataset
from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.draws import Draw, Rng
from srtoolbox.data.prepare.plan import Recipe, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.data.transforms.base import Transform, map_images
from srtoolbox.errors import ConfigError, DataError, MissingDataError
from srtoolbox.image import read_image, write_image
from srtoolbox.registry import DATASETS
from srtoolbox.resize import imresize

FLIPS = [dict(type="RandomHorizontalFlip"), dict(type="RandomVerticalFlip"), dict(type="RandomTranspose")]


@pytest.fixture(scope="module")
def sizes() -> dict[str, tuple[int, int]]:
    return {"a": (60, 72), "b": (47, 91), "c": (85, 50), "gray": (52, 49)}


@pytest.fixture(scope="module")
def gt_folder(tmp_path_factory: pytest.TempPathFactory, photo: np.ndarray, sizes: dict) -> Path:
    folder = tmp_path_factory.mktemp("gt")
    for number, (name, (height, width)) in enumerate(sizes.items()):
        image = photo[20 * number : 20 * number + height, 30 * number : 30 * number + width]
        write_image(folder / f"{name}.png", np.ascontiguousarray(image[..., :1] if name == "gray" else image))
    return folder


def pair_folders(gt_folder: Path, out: Path, scale: int, suffix: str = "") -> tuple[str, str]:
    """GT cut to multiples of the scale, and its LQ, as folders."""
    for file in gt_folder.iterdir():
        image = read_image(file)
        image = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
        write_image(out / "gt" / file.name, image)
        write_image(out / "lq" / f"{file.stem}{suffix}.png", imresize(image, 1 / scale))
    return str(out / "gt"), str(out / "lq")


def test_whole_images_for_evaluation(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path, 3, "x3")
    paired, alone = PairedDataset(gt, lq, 3), GTOnlyDataset(str(gt_folder), 3)
    assert paired.keys() == alone.keys() == ["a", "b", "c", "gray"]
    for index in range(4):
        a, b = paired[index], alone[index]
        assert a["key"] == b["key"] == paired.keys()[index]
        assert a["gt"].shape[:2] == tuple(3 * n for n in a["lq"].shape[:2]) and a["gt"].shape[2] == 3
        for name in ("gt", "lq"):
            assert np.array_equal(a[name], b[name])
        assert np.array_equal(a["lq"], imresize(np.ascontiguousarray(a["gt"]), 1 / 3))
    assert np.array_equal(paired[3]["gt"][..., 0], paired[3]["gt"][..., 2])
    with pytest.raises(IndexError):
        paired[4]


def test_gt_is_cut_in_evaluation_but_must_fit_in_training(gt_folder: Path, tmp_path: Path) -> None:
    _, lq = pair_folders(gt_folder, tmp_path, 3)
    dataset = PairedDataset(str(gt_folder), lq, 3)  # 47 = 3 * 15 + 2 and so on: rows and columns are left over
    assert dataset[1]["gt"].shape == (45, 90, 3)
    assert np.array_equal(dataset[1]["gt"], read_image(gt_folder / "b.png")[:45, :90])
    with pytest.raises(DataError, match=r"3 of 4 pairs(.|\n)*b\.png: 91x47, but"):
        PairedDataset(str(gt_folder), lq, 3, gt_size=24)
    cut = PairedDataset(str(gt_folder), lq, 3, gt_size=24, cut=True)
    exact = PairedDataset(str(tmp_path / "gt"), lq, 3, gt_size=24)
    for number in range(40):
        ours, theirs = (each[Draw(number % 4, number, 2)] for each in (cut, exact))
        assert np.array_equal(ours["gt"], theirs["gt"]) and np.array_equal(ours["lq"], theirs["lq"])


def test_damaged_files_of_all_stores_are_named_at_once(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path / "first", 3)
    others = pair_folders(gt_folder, tmp_path / "second", 3)
    bad = [Path(gt, "a.png"), Path(lq, "b.png"), Path(others[0], "c.png")]
    for path in bad:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="3 images cannot be read") as caught:
        PairedDataset([gt, others[0]], [lq, others[1]], 3)
    assert all(str(path) in str(caught.value) for path in bad)
    with pytest.raises(DataError, match=r"2 images cannot be read(.|\n)*a\.png(.|\n)*c\.png"):
        GTOnlyDataset([gt, others[0]], 3)


@pytest.mark.parametrize("keep", [0, 1 << 20])
@pytest.mark.parametrize("scale", [2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_lq_made_on_the_fly_is_the_crop_of_the_whole_lq_everywhere(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int, keep: int
) -> None:
    """Every position of a crop, the borders included: no value differs. A crop resized alone differs in several
    percent.
    """
    image = np.ascontiguousarray(photo[100:171, 150:229])
    write_image(tmp_path / "a.png", image)
    height, width = 71 // scale, 79 // scale
    whole = imresize(np.ascontiguousarray(image[: height * scale, : width * scale]), 1 / scale)
    monkeypatch.setattr(gt_only, "KEEP_BYTES", keep)
    dataset = GTOnlyDataset(str(tmp_path), scale, gt_size=8 * scale)
    side, seen, plain_differs = 8, set(), 0
    for draw in range(3000):
        sample = dataset[Draw(0, draw, 0)]
        window = dataset.cropper.window(height, width, Rng(0, draw))
        seen.add(window[:2])
        assert np.array_equal(sample["lq"], window.cut(whole))
        assert np.array_equal(sample["gt"], window.scaled(scale).cut(image))
        plain_differs += (imresize(np.ascontiguousarray(sample["gt"]), 1 / scale) != sample["lq"]).sum()
    assert len(seen) > 0.9 * (height - side + 1) * (width - side + 1)
    assert plain_differs > 0.02 * 3000 * side * side * 3  # the oracle can tell


@pytest.mark.parametrize("keep", [0, 1 << 30])
def test_lq_made_on_the_fly_on_real_images(data_root: Path, monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    monkeypatch.setattr(gt_only, "KEEP_BYTES", keep)
    dataset = GTOnlyDataset(str(data_root / "Set14/HR/X3"), 3, gt_size=96)
    published = PairedDataset(str(data_root / "Set14/HR/X3"), str(data_root / "Set14/LR_bicubic/X3"), 3, gt_size=96)
    for number in range(400):
        ours, theirs = dataset[Draw(number % 14, number, 1)], published[Draw(number % 14, number, 1)]
        assert np.array_equal(ours["lq"], theirs["lq"]) and np.array_equal(ours["gt"], theirs["gt"])


def test_folder_and_lmdb_give_the_same_samples(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path, 4, "_x4")
    write_stores(make_plan(gt, Recipe(lq=lq)), [tmp_path / "gt.lmdb", tmp_path / "lq.lmdb"])
    options = dict(scale=4, gt_size=32, transforms=FLIPS)
    sets = [
        PairedDataset(gt, lq, **options),
        PairedDataset(str(tmp_path / "gt.lmdb"), str(tmp_path / "lq.lmdb"), **options),
        PairedDataset(gt, str(tmp_path / "lq.lmdb"), **options),
        GTOnlyDataset(gt, **options),
    ]
    for number in range(100):
        samples = [dataset[Draw(number % 4, number, 5)] for dataset in sets]
        for name in ("lq", "gt"):
            assert all(np.array_equal(samples[0][name], sample[name]) for sample in samples[1:])
    batches = [dataset.__getitems__([Draw(n % 4, n, 5) for n in range(8)]) for dataset in sets]
    assert all(torch.equal(batches[0]["gt"], batch["gt"]) for batch in batches)


def test_samples_follow_from_the_draw_alone(gt_folder: Path) -> None:
    first, second = (GTOnlyDataset(str(gt_folder), 3, gt_size=24, transforms=FLIPS) for _ in range(2))
    draws = [Draw(number % 4, number, 9) for number in range(40)]
    forward = [first[draw]["gt"].tobytes() for draw in draws]
    backward = [second[draw]["gt"].tobytes() for draw in reversed(draws)]
    assert forward == backward[::-1]
    assert len(set(forward)) > 38
    assert first[Draw(0, 0, 1)]["gt"].tobytes() != first[Draw(0, 0, 2)]["gt"].tobytes()


def test_center_and_ten_crops_are_not_random(gt_folder: Path) -> None:
    center = GTOnlyDataset(str(gt_folder), 3, gt_size=24, crop="center")
    whole = GTOnlyDataset(str(gt_folder), 3)[0]
    assert np.array_equal(center[0]["gt"], whole["gt"][18:42, 24:48])
    assert np.array_equal(center[0]["gt"], center[Draw(0, 5, 5)]["gt"])
    ten = GTOnlyDataset(str(gt_folder), 3, gt_size=24, crop="ten")
    assert len(ten) == 40
    assert np.array_equal(ten[3]["lq"], whole["lq"][-8:, -8:])
    assert np.array_equal(ten[8]["lq"], whole["lq"][-8:, -8:][:, ::-1])
    assert ten[39]["key"] == "gray" and np.array_equal(ten[4]["gt"], center[0]["gt"])


def test_small_images(gt_folder: Path, sizes: dict) -> None:
    with pytest.raises(DataError) as caught:
        GTOnlyDataset(str(gt_folder), 3, gt_size=60)
    small = [name for name, size in sizes.items() if min(size) < 60]
    assert all(f"{name}.png: " in str(caught.value) for name in small) and "a.png" not in str(caught.value)
    assert "small='skip'" in str(caught.value)
    assert GTOnlyDataset(str(gt_folder), 3, gt_size=60, small="skip").keys() == ["a"]
    with pytest.raises(DataError, match="4 of 4 images smaller"):
        GTOnlyDataset(str(gt_folder), 3, gt_size=600, small="skip")
    for policy in ("reflect", "zero"):
        sample = GTOnlyDataset(str(gt_folder), 3, gt_size=60, small=policy, transforms=FLIPS)[Draw(1, 3, 0)]
        assert sample["gt"].shape == (60, 60, 3) and sample["lq"].shape == (20, 20, 3)
    reflected = GTOnlyDataset(str(gt_folder), 3, gt_size=60, small="reflect", crop="center")[1]
    assert np.array_equal(reflected["gt"][45:60], reflected["gt"][30:45][::-1])


def test_exactly_the_crop_is_enough(tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "a.png", photo[:24, :24])
    assert np.array_equal(GTOnlyDataset(str(tmp_path), 3, gt_size=24)[Draw(0, 0, 0)]["gt"], photo[:24, :24])
    write_image(tmp_path / "b.png", photo[:24, :23])
    with pytest.raises(DataError, match=r"1 of 2 images(.|\n)*b\.png"):
        GTOnlyDataset(str(tmp_path), 3, gt_size=24)


def test_all_missing_partners_and_sizes_at_once(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path, 3)
    os.remove(Path(lq, "a.png"))
    os.remove(Path(lq, "c.png"))
    with pytest.raises(DataError, match=r"2 images have no partner(.|\n)*a\.png(.|\n)*c\.png"):
        PairedDataset(gt, lq, 3)
    for name in ("a", "c"):
        write_image(Path(lq, f"{name}.png"), np.zeros((20, 23, 3), np.uint8))
    with pytest.raises(DataError, match=r"2 of 4 pairs(.|\n)*a\.png(.|\n)*c\.png"):
        PairedDataset(gt, lq, 3, gt_size=24)


def test_absent_sets_are_told_from_bad_ones(gt_folder: Path, tmp_path: Path) -> None:
    for build in (
        lambda: PairedDataset(str(gt_folder), str(tmp_path / "no/X3"), 3),
        lambda: GTOnlyDataset(str(tmp_path / "no/X3"), 3),
        lambda: FolderDataset(str(tmp_path / "no/X3")),
    ):
        with pytest.raises(MissingDataError, match="X3"):
            build()


def test_several_stores_as_one(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path, 3)
    double = PairedDataset([gt, gt], [lq, lq], 3, gt_size=24)
    assert len(double) == 8 and double.keys() == ["a", "b", "c", "gray"] * 2
    with pytest.raises(DataError, match="2 and 1 stores"):
        PairedDataset([gt, gt], lq, 3)
    assert PairedDataset([gt, gt], [lq, lq], 3, max_images=2).keys() == ["a", "b", "a", "b"]


def test_area_sampling(gt_folder: Path, sizes: dict) -> None:
    weights = GTOnlyDataset(str(gt_folder), 3, gt_size=24, sampling="area").draw_weights()
    assert weights.tolist() == [(h // 3) * (w // 3) for h, w in sizes.values()]
    assert GTOnlyDataset(str(gt_folder), 3, gt_size=24).draw_weights() is None
    assert len(GTOnlyDataset(str(gt_folder), 3, gt_size=24, sampling="area", crop="ten").draw_weights()) == 40


def test_concat_keeps_order_and_shares(gt_folder: Path, tmp_path: Path, photo: np.ndarray) -> None:
    write_image(tmp_path / "z.png", photo[:64, :64])
    parts = [dict(type="GTOnlyDataset", gt=str(path), scale=3, gt_size=24) for path in (gt_folder, tmp_path)]
    both = ConcatDataset(dict(first=parts[0], second=parts[1], removed=None))
    assert both.keys() == ["a", "b", "c", "gray", "z"] and both.scale == 3 and both.draw_weights() is None
    second = DATASETS.build(parts[1])
    assert np.array_equal(both[Draw(4, 17, 3)]["gt"], second[Draw(0, 17, 3)]["gt"])
    assert both[4]["key"] == both[-1]["key"] == "z"
    weighted = ConcatDataset(parts, weights=[1, 3]).draw_weights()
    assert weighted[:4].sum() * 3 == pytest.approx(weighted[4])
    area = ConcatDataset([parts[0] | dict(sampling="area"), parts[1]]).draw_weights()
    assert area.sum() == pytest.approx(5) and area[4] == pytest.approx(1) and len(set(area[:4])) == 4
    batch = both.__getitems__([Draw(index, index, 0) for index in range(5)])
    assert batch["key"] == both.keys() and batch["gt"].shape == (5, 24, 24, 3)
    with pytest.raises(ConfigError, match="weights"):
        ConcatDataset(parts, weights=[1])
    with pytest.raises(DataError, match="one scale"):
        ConcatDataset([parts[0], parts[1] | dict(scale=2)])


def test_the_place_of_a_crop_is_told(gt_folder: Path) -> None:
    alone = GTOnlyDataset(str(gt_folder), 3, gt_size=24)
    bordered = GTOnlyDataset(str(gt_folder), 3, gt_size=24, transforms=[Border()])
    both = ConcatDataset([alone, bordered])
    for number in range(12):
        draw = Draw(number % 8, number, 5)
        place, sample = both.place(draw), both[draw]
        image = read_image(gt_folder / f"{sample['key']}.png")
        assert np.array_equal(np.broadcast_to(place.cut(image), sample["gt"].shape), sample["gt"])
    assert len({both.place(Draw(1, number, 5)) for number in range(20)}) > 10
    assert GTOnlyDataset(str(gt_folder), 3).place(Draw(0, 0, 0)) is None


def test_folder_without_gt(gt_folder: Path) -> None:
    dataset = FolderDataset(str(gt_folder))
    assert len(dataset) == 4 and set(dataset[3]) == {"lq", "key"}
    assert dataset[3]["lq"].shape == (52, 49, 3)
    assert FolderDataset(str(gt_folder), channels=1)[3]["lq"].shape == (52, 49, 1)
    with pytest.raises(DataError, match="without GT"):
        dataset[Draw(0, 0, 0)]


def test_gray_only(gt_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"3 images are in colour(.|\n)*a\.png"):
        GTOnlyDataset(str(gt_folder), 3, gt_size=24, channels=1)
    write_image(tmp_path / "g.png", read_image(gt_folder / "gray.png"))
    dataset = GTOnlyDataset(str(tmp_path), 3, gt_size=24, channels=1)
    assert dataset.__getitems__([Draw(0, 0, 0)])["gt"].shape == (1, 24, 24, 1)


def test_relative_paths_are_from_the_current_directory(gt_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(gt_folder.parent)
    assert len(GTOnlyDataset(gt_folder.name, 3)) == 4


def test_digest_changes_with_the_images(gt_folder: Path, tmp_path: Path) -> None:
    gt, lq = pair_folders(gt_folder, tmp_path, 3)
    before = PairedDataset(gt, lq, 3).digest()
    assert PairedDataset(gt, lq, 3).digest() == before
    os.remove(Path(gt, "a.png"))
    os.remove(Path(lq, "a.png"))
    assert PairedDataset(gt, lq, 3).digest() != before


class Border(Transform):
    """Needs 5 px around the crop and says what it was given."""

    def __call__(self, sample: dict, rng: Rng) -> dict:
        assert sample["gt"].shape[:2] == (36, 36) and sample["lq"].shape[:2] == (12, 12)
        return sample

    def margin(self, gt_size: int) -> int:
        return 5


def test_margin_of_transforms(gt_folder: Path) -> None:
    with_margin = GTOnlyDataset(str(gt_folder), 3, gt_size=24, crop="center", transforms=[Border()])
    plain = GTOnlyDataset(str(gt_folder), 3, gt_size=24, crop="center")
    for index in range(4):
        a, b = with_margin[Draw(index, 0, 0)], plain[Draw(index, 0, 0)]
        assert a["gt"].shape == (24, 24, 3) and np.array_equal(a["gt"], b["gt"]) and np.array_equal(a["lq"], b["lq"])


class Own(Transform):
    """A user's transform, by a function of one image."""

    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, sample: dict, rng: Rng) -> dict:
        return self.function(sample)


@pytest.mark.parametrize(
    ("function", "made"),
    [
        (lambda s: map_images(s, lambda image: image + 1.5), r"lq \(8, 8, 3\) float64 and gt \(24, 24, 3\) float64"),
        (lambda s: map_images(s, lambda image: np.float32(image / 255)), r"lq \(8, 8, 3\) float32"),
        (lambda s: map_images(s, lambda image: image.astype(int) + 300), r"lq \(8, 8, 3\) int64"),
        (lambda s: s | {"lq": torch.zeros(8, 8, 3)}, r"lq torch\.Size\(\[8, 8, 3\]\) torch\.float32"),
        (lambda s: s | {"lq": s["lq"][..., 0]}, r"lq \(8, 8\) uint8"),
        (lambda s: s | {"gt": s["gt"][:-1]}, r"gt \(23, 24, 3\) uint8"),
        (lambda s: s.clear(), None),
    ],
)
def test_a_transform_that_makes_no_image_is_named(gt_folder: Path, tmp_path: Path, function, made) -> None:
    pair = pair_folders(gt_folder, tmp_path, 3)
    options = dict(scale=3, gt_size=24, transforms=[Own(function), *FLIPS[:1]])
    for dataset in (GTOnlyDataset(str(gt_folder), **options), PairedDataset(*pair, **options)):
        expected = "Own returned None" if made is None else rf"transforms \(Own, RandomHorizontalFlip\) made .*{made}"
        with pytest.raises(DataError, match=expected):
            dataset.__getitems__([Draw(0, 0, 0)])


def test_a_transform_before_lq_keeps_size_and_dtype(gt_folder: Path) -> None:
    own = Own(lambda sample: map_images(sample, lambda image: image * 1.1))
    own.stage = "gt"
    with pytest.raises(DataError, match=r"a: the transforms .* into \(\d+, \d+, 3\) float64: they keep size and dtype"):
        GTOnlyDataset(str(gt_folder), 3, gt_size=24, transforms=[own])[Draw(0, 0, 0)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(gt_size=25), "multiple of scale 3"),
        (dict(crop="middle"), "crop is one of 'random'"),
        (dict(gt_size=24, small="grow"), "small is one of"),
        (dict(sampling="size"), "sampling is one of"),
        (dict(channels=2), "channels is one of"),
        (dict(max_images=0), "max_images"),
        (dict(scale="3"), "scale is a whole number"),
    ],
)
@pytest.mark.parametrize("name", ["GTOnlyDataset", "PairedDataset"])
def test_check_and_constructor_refuse_alike(
    gt_folder: Path, tmp_path: Path, wrong: dict, message: str, name: str
) -> None:
    folders = dict(gt=str(gt_folder)) if name == "GTOnlyDataset" else dict(gt=str(gt_folder), lq=str(gt_folder))
    cfg = dict(type=name, scale=3) | folders | wrong
    assert any(message in fault for fault in DATASETS.get(name).check(cfg, {}))
    with pytest.raises((ConfigError, DataError)):
        DATASETS.build(cfg)


def test_check_accepts_what_builds(gt_folder: Path) -> None:
    for crop, small, sampling in itertools.product(("random", "center", "ten"), ("skip", "zero"), ("image", "area")):
        cfg = dict(
            type="GTOnlyDataset", gt=str(gt_folder), scale=3, gt_size=24, crop=crop, small=small, sampling=sampling
        )
        assert GTOnlyDataset.check(cfg, {}) == []
        assert DATASETS.build(cfg).scale == 3
