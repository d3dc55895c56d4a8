"""Data loading and conversion against the way of today's toolboxes (PNG sub-images in an LMDB), interleaved in one
process.

Loading: random 128 x 128 GT crops and their x4 LQ with flips and transposes, batches of 16, one process, one thread, to
float (N, C, H, W). Theirs: sub-images of 480 px (step 240) as PNG in an LMDB; per sample get, imdecode, to float, crop,
flip, BGR to RGB, to tensor; collate. Ours: raw whole images, a batch from the loader, then one conversion to float.
The same with two worker processes, theirs by PyTorch's DataLoader: handing a batch over is then most of our time.
Conversion: from folders of PNG to what each side trains from; theirs cuts and encodes sub-images, then decodes and
encodes them again into the LMDB, with one process per CPU.

Images of about 1024 x 700 are pasted together from those in SRTOOLBOX_DATA (General100, BSDS500) or, without it, from
scikit-image's photographs. Ratios are medians over rounds.

    python tools/benchmarks/data.py [--images 32] [--rounds 9] [--folder DIR] [--skip-conversion]
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import lmdb
import numpy as np
import skimage.data
import torch

from srtoolbox.data.datasets.paired import PairedDataset
from srtoolbox.data.loading.loader import build_train_loader
from srtoolbox.data.prepare.plan import Recipe, SubImages, make_plan
from srtoolbox.data.prepare.write import write_stores
from srtoolbox.image import batch_to_float, read_image, write_image
from srtoolbox.image.file_types import list_images
from srtoolbox.resize import imresize

SCALE, GT_SIZE, BATCH = 4, 128, 16
HEIGHT, WIDTH = 700, 1024
SUB = SubImages(480, 240)
FLIPS = [{"type": name} for name in ("RandomHorizontalFlip", "RandomVerticalFlip", "RandomTranspose")]


# ---- images


def photographs() -> Iterator[np.ndarray]:
    """Colour photographs, over and over."""
    root = os.environ.get("SRTOOLBOX_DATA")
    if root:
        folders = [Path(root, "General100"), Path(root, "BSDS500/train")]
        files = [folder / name for folder in folders for name in list_images(folder)]
        print(f"images pasted together from {len(files)} of General100 and BSDS500")
        yield from map(read_image, itertools.cycle(files))
    print("images pasted together from scikit-image's photographs (SRTOOLBOX_DATA is not set)")
    yield from itertools.cycle([skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()])


def make_images(folder: Path, count: int) -> None:
    """`count` GT images of 1024 x 700 under folder/gt, their LQ under folder/lq, as PNG."""
    photos = (photo for photo in photographs() if photo.shape[2] == 3)
    for number in range(count):
        canvas = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        top = 0
        while top < HEIGHT:
            left, highest = 0, HEIGHT
            while left < WIDTH:
                photo = next(photos)[: HEIGHT - top, : WIDTH - left]
                canvas[top : top + photo.shape[0], left : left + photo.shape[1]] = photo
                left, highest = left + photo.shape[1], min(highest, photo.shape[0])
            top += highest
        write_image(folder / "gt" / f"{number:04d}.png", canvas)
        write_image(folder / "lq" / f"{number:04d}.png", imresize(canvas, 1 / SCALE))


# ---- their way


def cut_sub_images(job: tuple[Path, Path, int, int]) -> None:
    """One PNG into sub-images as PNG, compression 3."""
    source, out, size, step = job
    image = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    tops, lefts = (sorted({*range(0, length - size + 1, step), length - size}) for length in image.shape[:2])
    for number, (top, left) in enumerate(itertools.product(tops, lefts), 1):
        name = str(out / f"{source.stem}_s{number:03d}.png")
        cv2.imwrite(name, image[top : top + size, left : left + size], [cv2.IMWRITE_PNG_COMPRESSION, 3])


def encode(source: Path) -> tuple[str, bytes]:
    """A file as it goes into their LMDB: decoded and encoded again, compression 1."""
    image = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    return source.stem, cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def convert_their_way(folder: Path, out: Path, processes: int) -> None:
    """folder/gt and folder/lq into out/gt_sub.lmdb and out/lq_sub.lmdb."""
    with multiprocessing.Pool(processes) as pool:
        for name, divisor in (("gt", 1), ("lq", SCALE)):
            subs = out / f"{name}_sub"
            subs.mkdir(parents=True)
            sources = sorted((folder / name).iterdir())
            pool.map(cut_sub_images, [(source, subs, SUB.size // divisor, SUB.step // divisor) for source in sources])
            with lmdb.open(str(out / f"{name}_sub.lmdb"), map_size=1 << 36) as env, env.begin(write=True) as txn:
                for key, data in pool.imap(encode, sorted(subs.iterdir())):
                    txn.put(key.encode(), data)


class TheirLoader:
    """Samples one at a time out of PNG sub-images in LMDBs."""

    def __init__(self, folder: Path) -> None:
        stores = [lmdb.open(str(folder / f"{n}_sub.lmdb"), readonly=True, lock=False) for n in ("gt", "lq")]
        self.reads = [store.begin() for store in stores]
        self.keys = list(self.reads[0].cursor().iternext(values=False))
        self.random = random.Random(0)  # noqa: S311 - a benchmark

    def sample(self) -> tuple[torch.Tensor, torch.Tensor]:
        key = self.random.choice(self.keys)
        gt, lq = (cv2.imdecode(np.frombuffer(t.get(key), np.uint8), cv2.IMREAD_COLOR) for t in self.reads)
        gt, lq = gt.astype(np.float32) / 255.0, lq.astype(np.float32) / 255.0
        side = GT_SIZE // SCALE
        top, left = (self.random.randint(0, length - side) for length in lq.shape[:2])
        lq = lq[top : top + side, left : left + side]
        gt = gt[top * SCALE : (top + side) * SCALE, left * SCALE : (left + side) * SCALE]
        turns = [self.random.random() < 0.5 for _ in range(3)]
        return self.tensor(gt, turns), self.tensor(lq, turns)

    def tensor(self, image: np.ndarray, turns: list[bool]) -> torch.Tensor:
        for wanted, code in zip(turns, (1, 0), strict=False):
            image = cv2.flip(image, code) if wanted else image
        image = image.transpose(1, 0, 2) if turns[2] else image
        image = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2RGB)
        return torch.from_numpy(image.transpose(2, 0, 1)).float()

    def batch(self) -> None:
        samples = [self.sample() for _ in range(BATCH)]
        torch.stack([gt for gt, _ in samples])
        torch.stack([lq for _, lq in samples])


class LazyLoader(torch.utils.data.Dataset):
    """The same in worker processes, each of which opens the LMDBs for itself."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._loader = folder, None

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        self._loader = self._loader or TheirLoader(self._folder)
        return self._loader.sample()


# ---- our way


class OurLoader:
    """Batches of the train loader from raw stores of whole images."""

    def __init__(self, folder: Path, *, to_float: bool, workers: int = 0) -> None:
        stores = str(folder / "gt.lmdb"), str(folder / "lq.lmdb")
        dataset = PairedDataset(*stores, SCALE, gt_size=GT_SIZE, transforms=FLIPS, sampling="area")
        self.batches, self.to_float = build_train_loader(dataset, BATCH, workers), to_float

    def batch(self) -> None:
        batch = next(self.batches)
        if self.to_float:
            batch_to_float(batch["gt"])
            batch_to_float(batch["lq"])


def convert_our_way(folder: Path, out: Path, workers: int) -> None:
    write_stores(
        make_plan(folder / "gt", Recipe(lq=str(folder / "lq"))), [out / "gt.lmdb", out / "lq.lmdb"], workers=workers
    )


# ---- measuring


def seconds(work: Callable[[], None], times: int = 1) -> float:
    """Mean time of a call."""
    start = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - start) / times


def report(title: str, unit: str, times: dict[str, list[float]], amount: float = 1.0) -> None:
    """Median amount per second (or seconds, for amount 1), and the median of the per-round ratios to the first."""
    first, *_ = times.values()
    print(f"\n{title}")
    for name, values in times.items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(first, values, strict=True))
        value = statistics.median(values)
        print(f"  {name:<44}{amount / value if amount != 1 else value:>10.2f} {unit}  ratio {ratio:7.1f}")


def compare_loading(folder: Path, rounds: int) -> None:
    theirs = TheirLoader(folder)
    ours = {
        "ours: raw whole images, float batch": OurLoader(folder, to_float=True),
        "ours: the same, uint8 batch as training takes": OurLoader(folder, to_float=False),
    }
    times: dict[str, list[float]] = {"theirs: PNG sub-images, float batch": [], **{name: [] for name in ours}}
    for loader in (theirs, *ours.values()):
        seconds(loader.batch, 5)
    for _ in range(rounds):
        times["theirs: PNG sub-images, float batch"].append(seconds(theirs.batch, 4))
        for name, loader in ours.items():
            times[name].append(seconds(loader.batch, 200))
    report("loading", "samples/s", times, BATCH)


def compare_workers(folder: Path, rounds: int, workers: int = 2) -> None:
    """One side at a time has worker processes: those of the others would work ahead meanwhile."""
    names = "theirs: PNG sub-images, float batch", "ours: raw whole images, float batch", "ours: the same, uint8 batch"
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        theirs = iter(torch.utils.data.DataLoader(LazyLoader(folder), BATCH, num_workers=workers))
        seconds(lambda loader=theirs: next(loader), 6)  # type: ignore[misc]
        times[names[0]].append(seconds(lambda loader=theirs: next(loader), 12))  # type: ignore[misc]
        del theirs
        for name, to_float in zip(names[1:], (True, False), strict=True):
            ours = OurLoader(folder, to_float=to_float, workers=workers)
            seconds(ours.batch, 30)
            times[name].append(seconds(ours.batch, 200))
            ours.batches.close()
    report(f"loading, {workers} workers", "samples/s", times, BATCH)


def compare_conversion(folder: Path, rounds: int) -> None:
    cpus = os.cpu_count() or 1
    ways: dict[str, Callable[[Path], None]] = {
        f"theirs: sub-images, then LMDB, {cpus} processes": lambda out: convert_their_way(folder, out, cpus),
        "ours: raw whole images, 1 worker": lambda out: convert_our_way(folder, out, 1),
        f"ours: raw whole images, {cpus} workers": lambda out: convert_our_way(folder, out, cpus),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    sizes = {}
    for number, (name, work) in itertools.product(range(rounds), ways.items()):
        out = folder / f"run{number}"
        shutil.rmtree(out, ignore_errors=True)
        times[name].append(seconds(lambda work=work, out=out: work(out)))
        sizes[name] = sum(file.stat().st_size for file in out.rglob("data.mdb")) / 1e6
        shutil.rmtree(out)
    report("conversion", "s", times)
    theirs, *_, ours = sizes.values()
    print(f"  disk: theirs {theirs:.0f} MB, ours {ours:.0f} MB, {ours / theirs:.2f} of it")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--skip-conversion", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        make_images(folder, args.images)
        if not args.skip_conversion:
            compare_conversion(folder, max(1, args.rounds // 3))
        convert_their_way(folder, folder, os.cpu_count() or 1)
        convert_our_way(folder, folder, os.cpu_count() or 1)
        compare_workers(folder, args.rounds)  # before this process opens the stores
        compare_loading(folder, args.rounds)


if __name__ == "__main__":
    main()
