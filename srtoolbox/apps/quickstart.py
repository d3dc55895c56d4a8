"""The quick start's photographs and scores."""

from __future__ import annotations

from pathlib import Path

import skimage.data

from srtoolbox.image import write_image
from srtoolbox.io.files import read_json, write_json

# colour photographs in scikit-image's wheel; the last two are never trained on
TRAIN = ("coffee", "rocket", "hubble_deep_field", "retina", "immunohistochemistry", "stereo_motorcycle")
TEST = ("astronaut", "chelsea")


def set_aside(folder: Path) -> Path | None:
    """Rename a folder that is there to its name with a number.

    Return that, None where there is none.
    """
    if not folder.exists():
        return None
    free = (folder.with_name(f"{folder.name}-{number}") for number in range(1, 10_000))
    return folder.rename(next(path for path in free if not path.exists()))


def write_photos(folder: Path) -> None:
    """Write the colour photographs as PNG to `folder`/train and `folder`/test."""
    for part, names in (("train", TRAIN), ("test", TEST)):
        for name in names:
            photo = getattr(skimage.data, name)()
            is_pair = name == "stereo_motorcycle"
            images = {"motorcycle_left": photo[0], "motorcycle_right": photo[1]} if is_pair else {name: photo}
            for title, image in images.items():
                write_image(folder / part / f"{title}.png", image)


def write_scores(work_dir: Path, checkpoint: str) -> dict[str, float]:
    """Write `scores.json` in place of `test.json`, the test's results.

    Return the gain over bicubic by score.
    """
    results = read_json(work_dir / "test.json")
    (work_dir / "test.json").unlink()
    scores = {
        side: {
            f"{set_name}/{metric}": value
            for set_name, entry in results[name].items()
            for metric, value in entry.items()
            if metric != "images"
        }
        for side, name in (("network", checkpoint), ("bicubic", "Bicubic"))
    }
    write_json(work_dir / "scores.json", scores)
    return {key: scores["network"][key] - scores["bicubic"][key] for key in scores["network"]}
