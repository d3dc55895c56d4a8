"""The main job on built-in photographs: make a data set, train, test, upscale. About two minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser

SUMMARY = "train, test and upscale on built-in photographs"
WORK_DIR = Path("work_dirs/quickstart")
CONFIG = "quickstart/espcn_x3_photos.py"

EXAMPLE = """example:
  bash tools/quickstart.sh          (installs first)
  srtoolbox quickstart              (where srtoolbox is installed)"""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("quickstart", __doc__, EXAMPLE)
    parser.add_overrides("config entries to change, e.g. max_iters=500")
    args = parser.parse(argv)
    from srtoolbox.apps.quickstart import set_aside, write_photos, write_scores
    from srtoolbox.config import Config

    config = Config.fromfile(CONFIG)
    config_path = shown_path(Path(config.filename or CONFIG))
    photos, scale, best = WORK_DIR / "data", config["scale"], WORK_DIR / "checkpoints/best_photos_psnr.pth"
    start = time.perf_counter()
    kept = set_aside(WORK_DIR)
    if kept:
        print(f"an earlier quick start is kept as {kept}")

    stage(1, f"photographs of scikit-image -> {photos}")
    write_photos(photos)
    stage(2, "convert to LMDB, the low-resolution side made as MATLAB's bicubic would")
    command("convert_lmdb", photos / "train", "--scale", scale, "-o", photos / "train_lmdb")
    stage(3, f"train ESPCN x{scale} from {config_path} (about a minute)")
    command("train", config_path, "--work-dir", WORK_DIR, *args.overrides)
    stage(4, "test on two photographs never trained on, against bicubic")
    outputs = ("--json", WORK_DIR / "test.json", "--sheets", WORK_DIR, "--report", WORK_DIR / "report")
    command("test", config_path, best, "--baseline", *outputs)
    gain = write_scores(WORK_DIR, best.stem)
    stage(5, "upscale an image")
    command("upscale", best, photos / "test/chelsea.png", "-o", WORK_DIR)
    stage(6, "draw the training: curves, and an animation of two patches")
    command("plot_log", WORK_DIR, "-o", WORK_DIR / "curves.png", "--bicubic", WORK_DIR / "scores.json")
    command("visualize", "training", WORK_DIR, "-o", WORK_DIR / "training.gif")
    print_ending(gain, config_path, best, time.perf_counter() - start)
    return 0


def stage(number: int, text: str) -> None:
    """Announce what comes next."""
    print(f"\n== {number}/6  {text}", flush=True)


def command(name: str, *arguments: object) -> None:
    """Run another command of the toolbox as if it had been typed, and show what to type.

    Raises:
        SystemExit: the command failed.
    """
    from srtoolbox.cli import main as run

    words = [str(argument) for argument in arguments]
    print(f"$ srtoolbox {' '.join([name, *words])}", flush=True)
    code = run([name, *words])
    if code:
        raise SystemExit(code)


def shown_path(path: Path) -> Path:
    """Return a path as a user would type it: relative where it lies below the current folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def print_ending(gain: dict[str, float], config: Path, best: Path, seconds: float) -> None:
    """Print the outcome in a line, what there is to look at, and what to try next."""
    psnr = gain["photos/psnr"]
    outcome = f"{psnr:.2f} dB PSNR above bicubic" if psnr > 0 else f"{-psnr:.2f} dB below bicubic: too few iterations"
    print(f"\nDone in {seconds:.0f} s: {outcome}, on photographs never trained on.\n")
    print(f"Look at     {WORK_DIR}/sheet_photos_*.png   input, bicubic, network, truth")
    print(f"            {WORK_DIR}/training.gif         two patches, while the network learned")
    print(f"            {WORK_DIR}/report/index.html    scores, before and after, in a browser")
    print(f"            {WORK_DIR}/curves.png           the training")
    print(f"            {WORK_DIR}/chelsea_sr.png       the upscaled cat")
    activate = " (first `source .venv/bin/activate`)" if Path(".venv").exists() else ""
    print(f"\nTry next{activate}:")
    print(f"  srtoolbox upscale {best} YOUR_PHOTO.jpg")
    print(f"  srtoolbox train {config} --work-dir work_dirs/longer max_iters=20000")
    if Path("docs/data.md").exists():
        print("  docs/data.md (your own images), docs/config.md, docs/add_a_loss.md")
