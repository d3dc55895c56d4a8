"""Upscale a video with a trained network. Times, audio, colours and rotation are kept.

Run the same command again after an interruption of any kind: it goes on where it stopped. The
output appears when all of it is done.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from srtoolbox.cli.options import CommandParser, add_device, add_plugin, add_weights_options, terminable, tile
from srtoolbox.text import counted

SUMMARY = "upscale a video, its audio, times and colours kept"
EXAMPLE = """examples:
  python tools/upscale_video.py realesr-animevideov3.pth clip.mp4 -o clip_x4.mp4
  python tools/upscale_video.py model.pth clip.mkv -o clip_x4.mkv --codec libx265 --crf 20 --preset slow"""

MAX_CRF = 63
"""Of AV1 and VP9; H.264 and H.265 end at 51 and take more for that."""


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("upscale_video", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="checkpoint of srtoolbox or of another project, or an ONNX file")
    add("input", metavar="VIDEO", help="any video FFmpeg reads")
    out = ".mp4, .mov, .mkv or .webm (default: <name>_sr.mp4 beside the input)"
    add("-o", "--out", metavar="FILE", help=out)
    codec = "encoder: libx264 (default), libx265, libsvtav1, ffv1 ..."
    add("--codec", default="libx264", metavar="NAME", help=codec)
    crf = "quality, lower is better (default: 18; none for ffv1)"
    add("--crf", type=float, metavar="Q", help=crf)
    add("--preset", metavar="NAME", help="the encoder's preset, e.g. slow")
    add("--outscale", type=float, metavar="S", help="final scale, if not the network's")
    side = "as of upscale (default: auto)"
    add("--tile", type=tile, default="auto", metavar="auto|PX|0", help=side)
    dtype = "numbers the network computes in (fp32)"
    add("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help=dtype)
    add("--keep-colour", action="store_true", help="as of upscale: low frequencies stay the video's")
    nothing = "do not write weights, network, scale, version and options into the result"
    add("--no-provenance", dest="provenance", action="store_false", help=nothing)
    overwrite = "replace the output, and parts made with other options"
    add("--overwrite", action="store_true", help=overwrite)
    add_weights_options(parser)
    add_device(parser)
    add_plugin(parser)
    args = parser.parse(argv)
    if args.crf is not None and not 0 <= args.crf <= MAX_CRF:
        parser.error(f"--crf is 0 ... {MAX_CRF}, got {args.crf:g}")
    from srtoolbox.apps.video import Encoding, upscale_video

    options, source = vars(args), args.input
    network = parser.take_network(args)
    codec, crf, preset = (options.pop(name) for name in ("codec", "crf", "preset"))
    encoding = Encoding(codec, 18.0 if crf is None and codec != "ffv1" else crf, preset)
    args.tile = args.tile or None
    start = time.perf_counter()
    with terminable():
        result = upscale_video(network, options.pop("input"), options.pop("out"), encoding=encoding, **options)
    kept = f", {result.resumed} of them there already" if result.resumed else ""
    frames, seconds = counted(result.frames, "frame"), time.perf_counter() - start
    outcome = f"{frames} of {result.size[0]} x {result.size[1]}{kept}, {seconds:.1f} s"
    print(f"{source} -> {result.target}: {outcome}")
    return 0
