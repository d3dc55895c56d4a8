"""Parts of a video: a job that was killed, failed or stopped goes on, and two jobs on one output are kept apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srtoolbox.apps.networks import Checkpoint
from srtoolbox.apps.video import upscale as module
from srtoolbox.apps.video.parts import Encoding
from srtoolbox.apps.video.upscale import upscale_video
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.files import sha256
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.registry import NETWORKS
from tests.apps.clips import frames_of, make_clip, packets_of
from tests.apps.test_video import bicubic, short_parts  # noqa: F401 - the fixture is for all tests


def same_frames(first: Path, second: Path) -> bool:
    left, right = frames_of(first), frames_of(second)
    return len(left) == len(right) and all(
        a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(left, right, strict=True)
    )


SLOW = """
import sys, time
from srtoolbox.apps.video import upscale as video
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.registry import NETWORKS
video.PART_FRAMES = 4
class Slow(Upscaler):
    def __call__(self, image):
        time.sleep(float(sys.argv[3]))
        return super().__call__(image)
    def each(self, images):
        return map(self, images)
upscaler = Slow(NETWORKS.build({"type": "Bicubic", "scale": 2}))
print(video.upscale_video(upscaler, sys.argv[1], sys.argv[2]))
"""


@pytest.mark.slow
def test_a_killed_job_goes_on(tmp_path: Path, monkeypatch) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    monkeypatch.setattr(module, "PART_FRAMES", 4)
    upscale_video(bicubic(), clip, tmp_path / "whole.mp4")
    out, parts = tmp_path / "out.mp4", tmp_path / "out.mp4.parts"
    command = [sys.executable, "-c", SLOW, str(clip), str(out)]
    process = subprocess.Popen([*command, "0.2"])
    for _ in range(600):
        if (parts / "part_000001.json").exists():
            break
        time.sleep(0.05)
    time.sleep(0.3)  # in the middle of a part
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob("part_*.mkv")}
    again = subprocess.run([*command, "0"], capture_output=True, text=True, check=True)
    assert f"resumed={4 * len(kept)}" in again.stdout and len(kept) >= 2
    assert same_frames(out, tmp_path / "whole.mp4") and not parts.exists()
    assert packets_of(out, "audio") == packets_of(clip, "audio")


def interrupted(clip: Path, out: Path, at: int, **options) -> None:
    """A run that fails at a frame."""
    upscaler, count = bicubic(), 0

    class Failing:
        size, keeps_colour = staticmethod(upscaler.size), False

        def __call__(self, image):
            nonlocal count
            count += 1
            if count == at:
                raise SrtoolboxError("the network fails")
            return upscaler(image)

        def each(self, images):
            return map(self, images)

    with pytest.raises(SrtoolboxError, match="the network fails"):
        upscale_video(Failing(), clip, out, **options)


def test_a_failure_leaves_finished_parts_and_no_threads(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    before = threading.active_count()
    interrupted(clip, out, 20)
    assert threading.active_count() == before and not out.exists()
    parts = tmp_path / "out.mp4.parts"
    assert sorted(path.name for path in parts.iterdir()) == [
        "job.json",
        "part_000000.json",
        "part_000000.mkv",
        "part_000001.json",
        "part_000001.mkv",
    ]
    data = bytearray((parts / "part_000001.mkv").read_bytes())
    data[len(data) // 2] ^= 1  # damaged since
    (parts / "part_000001.mkv").write_bytes(data)
    assert upscale_video(bicubic(), clip, out).resumed == 8
    upscale_video(bicubic(), clip, tmp_path / "whole.mp4")
    assert same_frames(out, tmp_path / "whole.mp4")


def test_parts_of_another_job_are_refused(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    interrupted(clip, out, 10, job={"checkpoint": "a"})
    with pytest.raises(SrtoolboxError, match=r"parts made with another checkpoint, encoding; .*--overwrite"):
        upscale_video(bicubic(), clip, out, job={"checkpoint": "b"}, encoding=Encoding("libx264", 30))
    assert upscale_video(bicubic(), clip, out, job={"checkpoint": "b"}, overwrite=True).resumed == 0
    with pytest.raises(SrtoolboxError, match="is there already; --overwrite"):
        upscale_video(bicubic(), clip, out)


def test_parts_made_with_other_settings_are_another_job(tmp_path: Path, espcn: str) -> None:
    clip, out = make_clip(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    job = module._job_of(espcn, {"tile": 32, "ensemble": False, "outscale": 2})
    assert job == {"checkpoint": sha256(espcn), "dtype": "fp32", "outscale": 2, "scale": None}  # the command's
    interrupted(clip, out, 10, job=job)
    for network, settings, names in (
        (espcn, {"ensemble": True, "overlap": 1}, "ensemble, overlap"),
        (Checkpoint(espcn, weights="raw"), {}, "weights"),
        (Checkpoint(espcn, other=espcn, alpha=0.3), {}, "alpha, other"),
        (NETWORKS.build({"type": "Bicubic", "scale": 2}), {"wrap": "x"}, "checkpoint, .*wrap"),
    ):
        with pytest.raises(SrtoolboxError, match=f"parts made with another {names}"):
            upscale_video(network, clip, out, **{"outscale": 2, **settings})


def test_sigterm_leaves_finished_parts_alone(tmp_path: Path, monkeypatch) -> None:
    clip, seen = make_clip(tmp_path / "in.mp4"), []
    network = {"type": "Bicubic", "scale": 2}
    config = json.dumps({"model": {"generator": network}})
    save_tensors(tmp_path / "c.pth", {"networks": {"generator": {}}, "config": config})
    upscaler, original = bicubic(), Upscaler._begun

    def until_the_twelfth(_: Upscaler, image: np.ndarray) -> Callable[[], np.ndarray]:
        seen.append(1)
        if len(seen) == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(upscaler, image)

    monkeypatch.setattr(Upscaler, "_begun", until_the_twelfth)
    with pytest.raises(SystemExit) as caught:
        main(["upscale_video", str(tmp_path / "c.pth"), str(clip)])
    assert caught.value.code == 143
    parts = {path.name for path in (tmp_path / "in_sr.mp4.parts").iterdir()}
    assert parts == {"job.json", "part_000000.mkv", "part_000000.json"}


def test_two_jobs_on_one_output_are_kept_apart(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "in.mp4", number=20, audio=None), tmp_path / "out.mp4"
    other, refused = make_clip(tmp_path / "other.mp4", number=3, audio=None), []
    (tmp_path / "folder").mkdir()

    def second(done: int, total: int) -> None:
        if done == 12:
            for source, target in ((clip, out), (other, tmp_path / "folder/../out.mp4")):
                with pytest.raises(SrtoolboxError, match=rf"in use by another job \(process {os.getpid()} on"):
                    upscale_video(bicubic(), source, target, overwrite=source == other)
                refused.append(source)

    assert upscale_video(bicubic(), clip, out, progress=second).frames == 20
    assert len(refused) == 2 and sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "in.mp4", "other.mp4", "out.mp4"
    ]  # fmt: skip
    assert not (tmp_path / "out.mp4.parts").exists()


def test_a_job_that_ended_meanwhile_is_not_done_again(tmp_path: Path, monkeypatch) -> None:
    clip, out = make_clip(tmp_path / "in.mp4", number=3, audio=None), tmp_path / "out.mp4"

    class Late(module.Parts):
        def __init__(self, *args, **kwargs) -> None:
            out.write_bytes(b"of another job")
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(module, "Parts", Late)
    with pytest.raises(SrtoolboxError, match="another job has made it meanwhile"):
        upscale_video(bicubic(), clip, out)
    assert out.read_bytes() == b"of another job" and not (tmp_path / "out.mp4.parts").exists()


def test_what_a_killed_job_left_of_its_lock_locks_nothing(tmp_path: Path) -> None:
    clip, out = make_clip(tmp_path / "in.mp4", number=3, audio=None), tmp_path / "out.mp4"
    parts = tmp_path / "out.mp4.parts"
    parts.mkdir()
    (parts / "lock").touch()
    (parts / "holder.json").write_text('{"pid": 1, "host": "gone"}')
    assert upscale_video(bicubic(), clip, out).frames == 3 and not parts.exists()
