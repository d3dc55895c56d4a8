"""The runs that `record_runs.py` records, each a function of the workbench that returns facts; see RUNS at the end."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from digests import Facts, checkpoint_facts, image_facts, json_facts, lmdb_facts, score_lines, video_facts
from workbench import Workbench

ITERATIONS = 160
"""Of an ESPCN run: so many that one that is stopped after its first evaluation is far from its end."""
ESPCN = "quickstart/espcn_x3_photos.py"
_ESPCN_CHANGES = (
    "photos=photos",
    f"max_iters={ITERATIONS}",
    "data.train.batch_size=4",
    "data.val.interval=40",
    "hooks.checkpoint.interval=40",
    "hooks.logger.interval=20",
    "hooks.patches.interval=80",
)
_SRGAN = """
scale = 4
seed = 7
max_iters = 8
adam = dict(type='Adam', lr=3e-3, betas=(0.9, 0.99))
model = dict(
    type='GANRestorer',
    generator=dict(type='MSRResNet', scale=scale, num_features=16, num_blocks=2),
    discriminator=dict(type='VGGDiscriminator', input_size=32, channels=[8, 8, 8, 8], fc=[16]),
    losses=dict(pixel=dict(type='MSELoss', weight=0.1),
                vgg=dict(type='PerceptualLoss', backbone='vgg19', weights='random', layers={'relu2_2': 0.01})),
    gan_loss=dict(type='GANLoss', kind='vanilla', weight=1e-3),
    disc_init_iters=2)
optim = dict(generator=dict(optimizer=adam, scheduler=dict(type='MultiStepLR', milestones=[4], gamma=0.5)),
             discriminator=dict(optimizer=adam))
data = dict(
    train=dict(
        dataset=dict(type='GTOnlyDataset', gt='photos/train', scale=scale, gt_size=32,
                     transforms=[dict(type='RandomHorizontalFlip'), dict(type='RandomTranspose')]),
        batch_size=2, workers=2),
    val=dict(datasets=dict(photos=dict(type='GTOnlyDataset', gt='photos/test', scale=scale)),
             metrics=dict(psnr=dict(type='PSNR', crop_border=4), ssim=dict(type='SSIM', crop_border=4)), interval=4))
runtime = dict(device='cpu', threads=1)
hooks = dict(
    scheduler=dict(type='SchedulerHook'), ema=dict(type='EMAHook', decay=0.9),
    checkpoint=dict(type='CheckpointHook', interval=4, keep_last=None, best=['photos/psnr']),
    evaluate=dict(type='EvaluateHook'), logger=dict(type='LoggerHook', interval=2, tensorboard=False))
"""
_STAMP = 1_700_000_000
_RESNET = "srgan/checkpoints/iter_000008.pth"
_ESPCN_WEIGHTS = f"espcn/checkpoints/iter_{ITERATIONS:06d}.pth"


def conversion(bench: Workbench) -> Facts:
    """The quick start's photographs, cut small: pairs raw, in zstd with a split, one folder in squares."""
    _write_photos(bench.folder / "photos")
    _write_inputs(bench.folder / "inputs")
    photos = "photos/train"
    exits = [
        bench.run("conversion", "convert_lmdb", photos, "--scale", 3, "-o", "photos/train_lmdb"),
        bench.run(
            "conversion", "convert_lmdb", photos, "--scale", 2, "--split", 0.7, "--encoding", "zstd", "-o", "split"
        ),
        bench.run("conversion", "convert_lmdb", photos, "--subimages", 48, "--encoding", "png", "-o", "squares.lmdb"),
    ]
    stores = sorted(path.parent for path in bench.folder.rglob("data.mdb"))
    return {"exits": exits, **{path.relative_to(bench.folder).as_posix(): lmdb_facts(path) for path in stores}}


def espcn(bench: Workbench) -> Facts:
    """The quick start's training, shortened; batches are made by the run itself."""
    return {"exit": _train_espcn(bench, "espcn"), **_run_facts(bench, "espcn")}


def espcn_workers(bench: Workbench) -> Facts:
    """As `espcn`, with two worker processes."""
    exit_code = _train_espcn(bench, "espcn_workers", "data.train.workers=2")
    return {"exit": exit_code, **_run_facts(bench, "espcn_workers")}


def terminated(bench: Workbench) -> Facts:
    """As `espcn`, stopped by a signal in the middle and resumed."""
    return _interrupted(bench, "terminated", "terminate")


def killed(bench: Workbench) -> Facts:
    """As `espcn_workers`, killed in the middle and resumed."""
    return _interrupted(bench, "killed", "kill", "data.train.workers=2")


def srgan(bench: Workbench) -> Facts:
    """A small SRGAN x4: MSE, features of a random VGG, discriminator, averaged weights, two worker processes."""
    config = bench.write("srgan.py", _SRGAN)
    return {"exit": bench.run("srgan", "train", config, "--work-dir", "srgan"), **_run_facts(bench, "srgan")}


def two_ranks(bench: Workbench) -> Facts:
    """ESPCN on two processes by torch.distributed.run (gloo)."""
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    words = _espcn_words("two_ranks", "max_iters=40", "hooks.logger.interval=10")
    exit_code = bench.run("two_ranks", "train", *words, launcher=launcher)
    return {"exit": exit_code, **_run_facts(bench, "two_ranks")}


def fine_tuning(bench: Workbench) -> Facts:
    """ESPCN from the weights of `espcn`, some parameters frozen, others at a rate of their own."""
    changes = (
        "max_iters=40",
        "optim.generator.frozen=['conv1','*.bias']",
        "optim.generator.param_groups={'conv3':{'lr':1e-5}}",
    )
    exit_code = _train_espcn(bench, "fine_tuning", *changes, "--load-from", _ESPCN_WEIGHTS)
    return {"exit": exit_code, **_run_facts(bench, "fine_tuning")}


def accumulation(bench: Workbench) -> Facts:
    """ESPCN in bfloat16, each step from two batches, gradients clipped."""
    changes = ("max_iters=40", "accumulate=2", "runtime.amp='bf16'", "optim.generator.clip=0.5")
    return {"exit": _train_espcn(bench, "accumulation", *changes), **_run_facts(bench, "accumulation")}


def test(bench: Workbench) -> Facts:
    """Scores of ESPCN beside bicubic, its images, sheets and page."""
    outputs = ("--json", "test.json", "--out", "test/out", "--sheets", "test/sheets", "--report", "test/report")
    exit_code = bench.run(
        "test", "test", ESPCN, _ESPCN_WEIGHTS, "--baseline", *outputs, "--device", "cpu", "photos=photos"
    )
    images = _images(bench, "test/out")
    return {
        "exit": exit_code,
        "scores": json_facts(bench.folder / "test.json"),
        "files": _files(bench, "test"),
        **images,
    }


def upscale(bench: Workbench) -> Facts:
    """A small MSRResNet x4 on a folder of gray, transparent, 16 bit and JPEG images in tiles, and by its options."""
    variants = {
        "tiles": ("inputs", "--tile", 24),
        "overlap": ("inputs/rgb.png", "--tile", 16, "--overlap", 3, "--batch", 2),
        "ensemble": ("inputs/rgb.png", "--tile", 0, "--ensemble"),
        "wrap": ("inputs/rgb.png", "--tile", 24, "--wrap", "xy"),
        "outscale": ("inputs/alpha.png", "--tile", 24, "--outscale", 2.5, "--transparency", "bicubic", "--ext", "tiff"),
    }
    facts: Facts = {}
    for name, words in variants.items():
        code = bench.run("upscale", "upscale", _RESNET, *words, "-o", f"upscale/{name}", "--device", "cpu")
        facts[name] = {"exit": code, **_images(bench, f"upscale/{name}")}
    return facts


def upscale_video(bench: Workbench) -> Facts:
    """A clip of eight frames without loss, upscaled by ESPCN."""
    if importlib.util.find_spec("av") is None:
        return {"left out": "av is not installed"}
    _write_clip(bench.folder / "clip.mkv")
    words = (_ESPCN_WEIGHTS, "clip.mkv", "-o", "clip_sr.mkv", "--codec", "ffv1", "--tile", 0, "--device", "cpu")
    exit_code = bench.run("upscale_video", "upscale_video", *words)
    path = bench.folder / "clip_sr.mkv"
    return {"exit": exit_code, **(video_facts(path) if path.is_file() else {})}


def interpolation(bench: Workbench) -> Facts:
    """Two stages of the generator of `srgan` blended: as a checkpoint, and a sweep with scores."""
    pair = ("srgan/checkpoints/iter_000004.pth", _RESNET)
    exits = [
        bench.run("interpolation", "interp", *pair, "--alpha", 0.3, "-o", "blend.pth", "--device", "cpu"),
        bench.run(
            "interpolation", "interp", *pair, "--sweep", "0:1:0.5", "--images", "photos/test/astronaut.png",
            "--report", "sweep", "--device", "cpu",
        ),
    ]  # fmt: skip
    scores = {path.name: json_facts(path) for path in sorted((bench.folder / "sweep").glob("*.json"))}
    blend = bench.folder / "blend.pth"
    checkpoint = checkpoint_facts(blend) if blend.is_file() else {}
    return {"exits": exits, "blend": checkpoint, "scores": scores, "files": _files(bench, "sweep")}


def other_weights(bench: Workbench) -> Facts:
    """The generator of `srgan` written for BasicSR, and upscaling with that file."""
    codes = [
        bench.run("other_weights", "convert_checkpoint", _RESNET, "--to", "basicsr", "-o", "basicsr.pth"),
        bench.run("other_weights", "upscale", "basicsr.pth", "inputs/rgb.png", "--tile", 24, "-o", "basicsr"),
    ]
    return {"exits": codes, "file": checkpoint_facts(bench.folder / "basicsr.pth"), **_images(bench, "basicsr")}


def drawings(bench: Workbench) -> Facts:
    """Curves, an animation of a training, filters and a scan: which files there are."""
    words = {
        "plot_log": ("espcn", "-o", "drawings/curves.png"),
        "visualize": ("training", "espcn", "-o", "drawings/training.gif"),
        "visualize ": ("filters", _ESPCN_WEIGHTS, "-o", "drawings/filters.png"),
        "visualize  ": ("scan", _ESPCN_WEIGHTS, "inputs/rgb.png", "-o", "drawings/scan.gif"),
    }
    (bench.folder / "drawings").mkdir()
    exits = [bench.run("drawings", command.strip(), *given) for command, given in words.items()]
    return {"exits": exits, "files": _files(bench, "drawings")}


def _train_espcn(bench: Workbench, work_dir: str, *changes: str) -> int:
    return bench.run(work_dir, "train", *_espcn_words(work_dir, *changes))


def _espcn_words(work_dir: str, *changes: str) -> tuple[str, ...]:
    return (ESPCN, "--work-dir", work_dir, "--device", "cpu", *_ESPCN_CHANGES, *changes)


def _interrupted(bench: Workbench, work_dir: str, end: str, *changes: str) -> Facts:
    """Only what does not depend on the moment of the end: the codes, the last state and the complete log."""
    scores = bench.folder / work_dir / "scores.jsonl"
    words = _espcn_words(work_dir, *changes)
    codes = [bench.run_until(lambda: '"eval"' in _text(scores), end, "train", *words)]
    codes.append(bench.run_until(lambda: False, end, "train", "--resume", *words))
    final = checkpoint_facts(bench.folder / work_dir / f"checkpoints/iter_{ITERATIONS:06d}.pth")
    return {"exits": codes, "scores": score_lines(scores), "checkpoint": final}


def _run_facts(bench: Workbench, work_dir: str) -> Facts:
    folder = bench.folder / work_dir
    checkpoints = sorted((folder / "checkpoints").glob("*.pth"))
    return {
        "scores": score_lines(folder / "scores.jsonl"),
        "checkpoints": {path.stem: checkpoint_facts(path) for path in checkpoints},
        "files": _files(bench, work_dir),
    }


def _names(bench: Workbench, folder: str) -> list[str]:
    root = bench.folder / folder
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return sorted({re.sub(r"tfevents\..*", "tfevents", name) for name in names})


def _files(bench: Workbench, folder: str) -> Facts:
    return dict.fromkeys(_names(bench, folder), "there")


def _images(bench: Workbench, folder: str) -> Facts:
    return {name: image_facts(bench.folder / folder / name) for name in _names(bench, folder)}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _write_photos(folder: Path) -> None:
    names = {"train": ("coffee", "rocket", "hubble_deep_field", "retina"), "test": ("astronaut", "chelsea")}
    for part, photos in names.items():
        for name in photos:
            top, left, height, width = (60, 100, 200, 240) if part == "test" else (100, 100, 162, 180)
            pixels = getattr(skimage.data, name)()[top : top + height, left : left + width]
            _write(folder / part / f"{name}.png", pixels)


def _write_inputs(folder: Path) -> None:
    """One image of each kind that `upscale` treats in a way of its own."""
    photo = skimage.data.chelsea()[90:141, 120:187]
    rows, columns = np.mgrid[: photo.shape[0], : photo.shape[1]]
    alpha = ((rows + columns) * 3 % 256).astype(np.uint8)
    deep = photo.astype(np.uint16) * 257 + (rows * 7 + columns)[..., None].astype(np.uint16) % 200
    _write(folder / "rgb.png", photo)
    _write(folder / "gray.png", photo[..., 1])
    _write(folder / "alpha.png", np.dstack([photo, alpha]))
    _write(folder / "deep.png", deep)
    _write(folder / "photo.jpg", photo)


def _write(path: Path, pixels: np.ndarray) -> None:
    order = {2: None, 3: [2, 1, 0], 4: [2, 1, 0, 3]}[pixels.shape[2] if pixels.ndim == 3 else 2]
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(pixels if order is None else pixels[..., order])), path
    os.utime(path, (_STAMP, _STAMP))  # a store's description notes it


def _write_clip(path: Path) -> None:
    import av

    photo = skimage.data.chelsea()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(8):
            part = np.ascontiguousarray(photo[60 + number : 108 + number, 100 + 2 * number : 164 + 2 * number])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode())


Run = Callable[[Workbench], Facts]
RUNS: tuple[tuple[Run, ...], ...] = (
    (conversion,),
    (espcn, srgan),
    (two_ranks, espcn_workers, terminated, killed, fine_tuning, accumulation),
    (test, upscale, upscale_video, interpolation, other_weights, drawings),
)
"""Rows of runs: those of a row need nothing of each other, only of the rows above."""
