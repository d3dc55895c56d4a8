"""Animations read back from their files: frames, times, pixels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srtoolbox.errors import SrtoolboxError
from srtoolbox.image import read_image
from srtoolbox.plots.animation import MAX_WIDTH, check_suffix, evenly, write_animation
from srtoolbox.plots.grid import GAP, fit_width, grid, square_rows
from srtoolbox.plots.panels import Cell


def windows(photo: np.ndarray, count: int) -> list[np.ndarray]:
    """Frames of a photograph that moves by 6 px each."""
    return [np.ascontiguousarray(photo[40:140, 6 * number : 6 * number + 120]) for number in range(count)]


def read_gif(path: Path) -> tuple[list[np.ndarray], list[int], int]:
    frames, durations = [], []
    with Image.open(path) as image:
        loop = image.info["loop"]
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
            frames.append(np.array(image.convert("RGB")))
    return frames, durations, loop


def test_a_gif_holds_every_frame_and_the_last_for_longer(photo: np.ndarray, tmp_path: Path) -> None:
    frames = windows(photo, 9)
    write_animation(tmp_path / "a.gif", frames, seconds=0.15, hold=1)
    found, durations, loop = read_gif(tmp_path / "a.gif")
    assert durations == [150] * 8 + [1150] and loop == 0
    for expected, frame in zip(frames, found, strict=True):
        assert np.abs(expected.astype(int) - frame).mean() < 6  # 256 colours


def test_paper_and_letters_keep_their_colours_in_a_gif(photo: np.ndarray, tmp_path: Path) -> None:
    frames = [grid([[Cell(photo[:60, :90], "below")]], title=f"frame {number}") for number in range(3)]
    write_animation(tmp_path / "a.gif", frames)
    for frame in read_gif(tmp_path / "a.gif")[0]:
        assert np.array_equal(frame[0, 0], (255, 255, 255)) and np.array_equal(frame[-1, -1], (255, 255, 255))
        assert (frame.reshape(-1, 3) == 25).all(axis=1).any()


def test_a_small_thing_keeps_its_colour_in_a_gif(photo: np.ndarray, tmp_path: Path) -> None:
    frame = np.ascontiguousarray(photo[:200, :400])
    frame[90:96, 100:108] = (20, 220, 60)  # 48 of 80 000 pixels, of a colour the photograph has not
    write_animation(tmp_path / "a.gif", [frame] * 3)
    for found in read_gif(tmp_path / "a.gif")[0]:
        assert np.abs(found[90:96, 100:108].astype(int) - (20, 220, 60)).max() <= 8


def test_what_stays_the_same_does_not_flicker(photo: np.ndarray, tmp_path: Path) -> None:
    frames = [np.concatenate([photo[:80, :80], part[:80, :80]], axis=1) for part in windows(photo, 6)]
    write_animation(tmp_path / "a.gif", frames)
    found = read_gif(tmp_path / "a.gif")[0]
    assert len(found) == 6 and all(np.array_equal(frame[:, :80], found[0][:, :80]) for frame in found)


def test_an_mp4_holds_every_frame(photo: np.ndarray, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra `video` is not installed")
    frames = [np.ascontiguousarray(frame[:99, :119]) for frame in windows(photo, 9)]  # odd sides
    write_animation(tmp_path / "a.mp4", frames, seconds=0.1, hold=0.5)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].average_rate == 10
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(found) == 9 + 5
    for expected, frame in zip([*frames, *[frames[-1]] * 5], found, strict=True):
        assert frame.shape == (100, 120, 3)
        assert np.abs(expected.astype(int) - frame[:99, :119]).mean() < 6


def test_a_png_shows_some_of_the_frames(photo: np.ndarray, tmp_path: Path) -> None:
    frames = windows(photo, 30)
    write_animation(tmp_path / "a.png", frames)
    sheet = read_image(tmp_path / "a.png")
    assert np.array_equal(sheet[GAP : GAP + 100, GAP : GAP + 120], frames[0])
    assert np.array_equal(sheet[-2 * GAP - 100 : -2 * GAP, -GAP - 120 : -GAP], frames[-1])


def test_large_frames_are_shrunk(photo: np.ndarray, tmp_path: Path) -> None:
    write_animation(tmp_path / "a.gif", [photo.repeat(4, axis=1), photo[::-1].repeat(4, axis=1)])
    found = read_gif(tmp_path / "a.gif")[0]
    assert found[0].shape[1] == MAX_WIDTH and found[0].shape[0] == round(300 * MAX_WIDTH / 1804)


def test_without_the_extra_the_error_says_what_to_install(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SrtoolboxError, match=r"a\.mp4: .*pip install 'srtoolbox\[video\]'"):
        check_suffix(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "frames", "words"),
    [("a.avi", 2, ".gif, .mp4, .png"), ("a", 2, ".gif"), ("a.gif", 0, "needs frames")],
)
def test_misuse_is_named_and_writes_nothing(
    photo: np.ndarray, tmp_path: Path, name: str, frames: int, words: str
) -> None:
    with pytest.raises(SrtoolboxError, match=words):
        write_animation(tmp_path / name, windows(photo, frames))
    assert list(tmp_path.iterdir()) == []


def test_evenly_keeps_both_ends() -> None:
    assert evenly(5, 9) == [0, 1, 2, 3, 4] and evenly(101, 5) == [0, 25, 50, 75, 100] and evenly(7, 1) == [6]
    assert all(len(evenly(count, 60)) == min(count, 60) for count in range(1, 400))


def test_cells_are_shown_equally_wide_and_by_whole_blocks(photo: np.ndarray) -> None:
    large, small = photo[:60, :90], photo[:20, :30]
    sheet = grid([[Cell(small), Cell(large)]], cell=200)
    width = 180  # twice the larger one
    assert sheet.shape[1] == 2 * width + 3 * GAP
    first, second = sheet[GAP : GAP + 120, GAP : GAP + width], sheet[GAP : GAP + 120, 2 * GAP + width :][:, :width]
    assert np.array_equal(first, small.repeat(6, axis=0).repeat(6, axis=1))
    assert np.array_equal(second, large.repeat(2, axis=0).repeat(2, axis=1))


def test_gray_and_16_bit_images_fit_a_width(photo: np.ndarray) -> None:
    gray = photo[:10, :10, :1]
    assert np.array_equal(fit_width(gray.astype(np.uint16) * 257, 10), gray.repeat(3, axis=2))
    assert fit_width(photo, 100).shape == (67, 100, 3)


def test_rows_are_about_as_wide_as_a_screen() -> None:
    cells = [Cell(np.zeros((4, 4, 3), np.uint8))] * 65
    rows = square_rows(cells)
    assert sum(map(len, rows)) == 65 and len(rows[0]) == 10
    assert [len(row) for row in square_rows(cells[:1])] == [1]


def test_a_sheet_that_no_viewer_opens_is_refused() -> None:
    tall = Cell(np.zeros((17_000, 1, 3), np.uint8))
    with pytest.raises(SrtoolboxError, match="choose fewer"):
        grid([[tall]], cell=1)
