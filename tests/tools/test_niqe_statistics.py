"""tools/maintenance/niqe_statistics.py: what it writes, and the table that it prints."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from srtoolbox.image import write_image
from srtoolbox.metrics.niqe import load_statistics


@pytest.mark.slow
def test_the_command_that_fits_and_compares(script: Callable[[str], ModuleType], tmp_path, photo, capsys):
    folder, file = tmp_path / "images", tmp_path / "own.npz"
    folder.mkdir()
    photo = photo[:192, 60:348]
    for number in range(14):
        image = photo if number % 2 else np.ascontiguousarray(photo[::-1, :, ::-1])
        write_image(folder / f"{number}.png", np.roll(image, 7 * number, (0, 1)))
    command = script("niqe_statistics").main
    command(["fit", str(folder), "-o", str(file)])
    assert load_statistics(file).covariance.shape == (36, 36)
    command(["compare", str(folder), "--limit", "2", "--to", str(file)])
    printed = capsys.readouterr().out
    assert "2 images, niqe_statistics.npz against own.npz" in printed and "| JPEG, quality 10 |" in printed
