"""Videos: everything but the image is kept, and what cannot be is said."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from srtoolbox import colour_shift
from srtoolbox.apps.results import read_steps
from srtoolbox.apps.video import upscale as module
from srtoolbox.apps.video.frames import frame_at, frames, probe
from srtoolbox.apps.video.parts import Encoding
from srtoolbox.apps.video.upscale import upscale_video
from srtoolbox.cli import main
from srtoolbox.errors import SrtoolboxError
from srtoolbox.image.video_codecs import library
from srtoolbox.inference.upscaler import Upscaler
from srtoolbox.io.files import sha256
from srtoolbox.io.tensor_files import save_tensors
from srtoolbox.io.threads import AHEAD
from srtoolbox.registry import NETWORKS
from tests.apps.clips import TIME_BASE, frames_of, make_clip, packets_of

av = pytest.importorskip("av", reason="needs the extra 'video'")
LOSSLESS = Encoding("ffv1", None)


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(module, "PART_FRAMES", 8)


def bicubic(scale: int = 2, **options) -> Upscaler:
    return Upscaler(NETWORKS.build({"type": "Bicubic", "scale": scale}), **options)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_times_audio_colours_and_rotation_are_kept(tmp_path: Path, suffix: str) -> None:
    pts = [i * 512 + (37 * i * i) % 400 for i in range(25)]  # a variable frame rate
    clip = make_clip(tmp_path / "in.mp4", pts=pts, rotation=90)
    out = tmp_path / f"out{suffix}"
    seen = []
    done = upscale_video(bicubic(), clip, out, progress=lambda *state: seen.append(state))
    assert (done.frames, done.resumed, done.size) == (25, 0, (128, 96))
    assert seen[0] == (0, 25) and seen[-1] == (25, 25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", out.name]
    before, after = frames_of(clip), frames_of(out)
    sound, copy = packets_of(clip, "audio"), packets_of(out, "audio")
    assert [data for _, data in sound] == [data for _, data in copy] and len(sound) > 10
    # Matroska has no times below 0, where AAC begins, so everything is later by as much; and its clock has milliseconds
    shift, limit = (0, 0) if suffix == ".mp4" else (copy[0][0] - sound[0][0], 0.0011)
    assert len(after) == 25
    for old, new in ((before, after), (sound, copy)):
        assert all(abs(b[0] - a[0] - shift) <= limit for a, b in zip(old, new, strict=True))
    old, new = probe(clip), probe(out)
    assert new.colour == old.colour and new.rotation == old.rotation == 90 and new.pix_fmt == "yuv420p"
    assert abs(new.duration - old.duration - shift) < 0.03
    # the right image at the right time
    expected = bicubic()(before[20][1])
    assert np.abs(after[20][1].astype(int) - expected).mean() < 3


@pytest.mark.parametrize(("matrix", "name"), [(1, "bt709"), (6, "bt601"), (9, "bt2020")])
@pytest.mark.parametrize("limits", [1, 2])
def test_colours_by_the_declared_matrix_and_range(tmp_path: Path, matrix: int, name: str, limits: int) -> None:
    """Against the definition of Y'CbCr (ITU-R BT.601, BT.709, BT.2020), and back without loss."""
    clip = make_clip(
        tmp_path / "in.mkv", number=3, pix_fmt="yuv444p", colour=(matrix, limits, 2, 2), audio=None, codec="ffv1"
    )
    video = probe(clip)
    assert (video.colour.matrix, video.colour.range) == (matrix, limits)
    with av.open(str(clip)) as container:
        planes = [frame.to_ndarray().astype(float) for frame in container.decode(video=0)]
    red, blue = {"bt709": (0.2126, 0.0722), "bt601": (0.299, 0.114), "bt2020": (0.2627, 0.0593)}[name]
    scale = (255, 255) if limits == 2 else (219, 224)
    for frame, (y, cb, cr) in zip(frames(video), planes, strict=True):
        y = (y - (0 if limits == 2 else 16)) / scale[0]
        cb, cr = (cb - 128) / scale[1], (cr - 128) / scale[1]
        r, b = y + 2 * (1 - red) * cr, y + 2 * (1 - blue) * cb
        g = (y - red * r - blue * b) / (1 - red - blue)
        expected = np.clip(np.stack([r, g, b], -1) * 255, 0, 255)
        assert np.abs(frame.image - expected).max() < 1.6
    out = tmp_path / "out.mkv"
    upscale_video(bicubic(1), clip, out, encoding=LOSSLESS)
    with av.open(str(out)) as container:
        again = [frame.to_ndarray().astype(float) for frame in container.decode(video=0)]
    assert max(np.abs(a - b).max() for a, b in zip(planes, again, strict=True)) <= 2
    assert probe(out).colour == video.colour


def test_what_declares_nothing_declares_what_was_taken(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", number=2, colour=(2, 0, 2, 2), audio=None)
    upscale_video(bicubic(), clip, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range)) == (6, 1)


def test_a_frame_by_its_time_is_that_of_its_number(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", pts=[512 * 3 + 512 * number for number in range(20)], number=20)
    images = [frame.image for frame in frames(probe(clip))]
    for number in (0, 7, 19):
        np.testing.assert_array_equal(frame_at(clip, number / 25), images[number])
    np.testing.assert_array_equal(frame_at(clip, 60), images[-1])


def test_ten_bits_stay_ten(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mkv", number=3, pix_fmt="yuv420p10le", audio=None, codec="ffv1")
    assert next(frames(probe(clip))).image.dtype == np.uint16
    upscale_video(bicubic(1), clip, tmp_path / "out.mkv", encoding=LOSSLESS)
    assert probe(tmp_path / "out.mkv").pix_fmt == "yuv420p10le"
    for first, second in zip(frames(probe(clip)), frames(probe(tmp_path / "out.mkv")), strict=True):
        assert np.abs(first.image.astype(int) - second.image).mean() < 300  # of 65535: chroma is filtered twice


def test_an_odd_size_is_cut_to_what_the_format_holds(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", number=2, size=(50, 34), audio=None)
    assert upscale_video(bicubic(outscale=1.5), clip, tmp_path / "out.mp4").size == (74, 50)


def with_tags(clip: Path, out: Path, tags: dict[str, str]) -> Path:
    """The clip with other tags."""
    with av.open(str(clip)) as source, av.open(str(out), "w") as target:
        target.metadata.update(tags)
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return out


def tags_of(clip: Path) -> dict[str, str]:
    with av.open(str(clip)) as container:
        return {key.lower(): value for key, value in container.metadata.items()}


@pytest.mark.parametrize(
    ("suffix", "tag"),
    [
        (".mp4", "synopsis"),
        (".mkv", "srtoolbox"),
        pytest.param(".mov", "comment", marks=pytest.mark.slow),
        pytest.param(".webm", "srtoolbox", marks=pytest.mark.slow),
    ],
)
def test_a_result_says_where_it_comes_from(tmp_path: Path, espcn: str, suffix: str, tag: str) -> None:
    encoding = Encoding("libvpx-vp9", 40) if suffix == ".webm" else Encoding()
    clip, outs = (
        make_clip(tmp_path / "in.mp4", number=2, audio=None),
        [tmp_path / f"{n}{suffix}" for n in range(3)],
    )
    upscale_video(espcn, clip, outs[0], encoding=encoding, device="cpu")
    (step,) = read_steps(outs[0])
    assert step["weights"][0]["sha256"] == sha256(espcn) and step["options"]["codec"] == encoding.codec
    own = {"comment": "mine"} if suffix in (".mp4", ".mkv") else {}  # which stays
    again = with_tags(outs[0], tmp_path / f"own{suffix}", {tag: tags_of(outs[0])[tag], **own}) if own else outs[0]
    upscale_video(espcn, again, outs[1], encoding=encoding, device="cpu")
    assert [each["scale"] for each in read_steps(outs[1])] == [3, 3] and tags_of(outs[1]).items() >= own.items()
    upscale_video(espcn, again, outs[2], encoding=encoding, device="cpu", provenance=False)
    assert b"ESPCN" not in outs[2].read_bytes() and tags_of(outs[2]).items() >= own.items()


def test_libvpx_takes_any_rate(tmp_path: Path) -> None:
    times = [number * TIME_BASE.denominator // 120 for number in range(6)]
    clip = make_clip(tmp_path / "in.mp4", pts=times, audio=None, size=(16, 16))
    network = NETWORKS.build({"type": "Bicubic", "scale": 2})
    upscale_video(network, clip, tmp_path / "out.webm", encoding=Encoding("libvpx", 40))
    found = [1000 * time for time, _ in frames_of(tmp_path / "out.webm")]
    assert found == [round(1000 * time) for time, _ in frames_of(clip)]


def test_a_mov_has_one_comment(tmp_path: Path, espcn: str, caplog: pytest.LogCaptureFixture) -> None:
    clip = with_tags(make_clip(tmp_path / "in.mp4", number=2, audio=None), tmp_path / "own.mov", {"comment": "mine"})
    upscale_video(espcn, clip, tmp_path / "out.mov", device="cpu")
    assert "mov has one comment, the video's own" in caplog.text
    assert tags_of(tmp_path / "out.mov")["comment"] == "mine"


def test_a_shift_of_colours_is_told_and_taken_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Tinted(torch.nn.Module):
        scale, in_channels, colour, size_multiple, receptive_field = 2, 3, "rgb", 1, 0

        def forward(self, lq: torch.Tensor) -> torch.Tensor:
            tint = torch.tensor([0.05, 0, -0.05])[:, None, None]
            return (0.2 + 0.6 * lq + tint).repeat_interleave(2, -1).repeat_interleave(2, -2)

    clip = make_clip(tmp_path / "in.mp4", number=9, audio=None)
    upscale_video(Tinted(), clip, tmp_path / "out.mkv", encoding=LOSSLESS)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "out.mkv: its colours differ visibly from the input's (red +" in told and "--keep-colour" in told
    kept = Upscaler(Tinted(), keep_colour=True)
    upscale_video(Tinted(), clip, tmp_path / "kept.mkv", encoding=LOSSLESS, keep_colour=True)
    first = next(frames(probe(clip))).image
    assert colour_shift(first, kept(first)).delta_e < 1
    assert colour_shift(first, next(frames(probe(tmp_path / "kept.mkv"))).image).delta_e < 1.5


def test_decoding_waits_for_the_network(tmp_path: Path, monkeypatch) -> None:
    """Memory is bounded: only a few frames are decoded ahead."""
    clip, decoded, most = make_clip(tmp_path / "in.mp4", number=60, audio=None), 0, 0
    upscaler, original = bicubic(), module.frames

    def counted(*args, **options):
        nonlocal decoded
        for frame in original(*args, **options):
            decoded += 1
            yield frame

    class Slow:
        size, keeps_colour = staticmethod(upscaler.size), False
        done = 0

        def __call__(self, image):
            nonlocal most
            time.sleep(0.005)
            self.done += 1
            most = max(most, decoded - self.done)
            return upscaler(image)

        def each(self, images):
            return map(self, images)

    monkeypatch.setattr(module, "frames", counted)
    upscale_video(Slow(), clip, tmp_path / "out.mp4", provenance=False)
    assert 1 <= most <= AHEAD + 2


def test_hevc_is_called_what_players_know_and_its_encoder_is_quiet(tmp_path: Path, capfd) -> None:
    if "libx265" not in av.codecs_available:
        pytest.skip("FFmpeg without x265")
    clip = make_clip(tmp_path / "in.mp4", number=10, audio=None)
    upscale_video(bicubic(), clip, tmp_path / "out.mp4", encoding=Encoding("libx265", preset="ultrafast"))
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"
        assert len(list(container.decode(video=0))) == 10
    assert capfd.readouterr().err == ""


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", number=3)
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "folder.mp4").mkdir()
    tone = make_clip(tmp_path / "x.mkv", number=3, audio="libopus") if "libopus" in av.codecs_available else None
    for source, out, options, message in [
        (tmp_path / "none.mp4", "o.mp4", {}, r"none\.mp4: no such video file"),
        (tmp_path / "text.mp4", "o.mp4", {}, r"text\.mp4: no video that can be read"),
        (clip, "folder.mp4", {"overwrite": True}, r"folder\.mp4: is a folder"),
        (tmp_path / "none.mp4", "in.mp4", {"overwrite": True}, r"none\.mp4: no such video file"),
        (clip, "in.mp4", {"overwrite": True}, r"in\.mp4: is the video to upscale"),
        (clip, "o.avi", {}, r"o\.avi: the name of a video ends in \.mp4"),
        (clip, "o.mp4", {"encoding": Encoding("x999")}, r"no video codec 'x999'; usual ones: libx264"),
        (clip, "o.webm", {}, r"o\.webm: this container does not hold h264"),
        (clip, "o.mp4", {"encoding": Encoding(preset="fastest of all")}, r"o\.mp4: cannot be encoded"),
    ]:
        with pytest.raises(SrtoolboxError, match=message):
            upscale_video(bicubic(), source, tmp_path / out, **options)
    for outscale, size in ((1e5, "6400000x4800000"), (0.02, "2x1")):
        with pytest.raises(
            SrtoolboxError, match=rf"in\.mp4: would become {size}; a video has 2 \.\.\. 16384 px a side"
        ):
            upscale_video(bicubic(outscale=outscale), clip, tmp_path / "o.mp4")
    if tone is not None:
        assert upscale_video(bicubic(), tone, tmp_path / "tone.mkv").frames == 3
    assert not list(tmp_path.glob("o.*"))


def test_a_damaged_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4")
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])  # the index at the end is gone
    with pytest.raises(SrtoolboxError, match=r"in\.mp4: "):
        upscale_video(bicubic(), clip, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_video_cut_short_is_told(tmp_path: Path, caplog) -> None:
    """A Matroska file without its end is read without an error, as if it ended there."""
    clip = make_clip(tmp_path / "in.mkv", number=100, audio=None)
    upscale_video(bicubic(), clip, tmp_path / "whole.mkv")
    assert "cut short" not in caplog.text
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert upscale_video(bicubic(), clip, tmp_path / "out.mkv").frames < 90
    assert re.search(r"in\.mkv: its frames end after .* it is cut short", caplog.text)


def test_the_command(tmp_path: Path, capsys) -> None:
    clip = make_clip(tmp_path / "in.mp4", number=5)
    network = NETWORKS.build({"type": "ESPCN", "scale": 3})
    config = {"model": {"generator": {"type": "ESPCN", "scale": 3}}}
    save_tensors(tmp_path / "c.pth", {"networks": {"generator": network.state_dict()}, "config": json.dumps(config)})
    assert main(["upscale_video", str(tmp_path / "c.pth"), str(clip), "--crf", "20", "--tile", "0"]) == 0
    assert "in_sr.mp4: 5 frames of 192 x 144" in capsys.readouterr().out
    assert probe(tmp_path / "in_sr.mp4").width == 192
    assert main(["upscale_video", str(tmp_path / "c.pth"), str(clip)]) == 2
    assert "is there already" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["upscale_video", str(tmp_path / "c.pth"), str(clip), "--crf", "180"])
    assert "--crf is 0 ... 63, got 180" in capsys.readouterr().err


def test_threads_of_a_decoder_never_wait_for_python() -> None:
    """With a level, FFmpeg's threads take Python's lock to log, and a decoder that is closed holds it: a deadlock."""
    av.logging.set_level(av.logging.FATAL)
    assert library().logging.get_level() is None


def test_without_the_package(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert main(["upscale_video", "c.pth", "in.mp4"]) == 2
    assert "pip install 'srtoolbox[video]'" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
