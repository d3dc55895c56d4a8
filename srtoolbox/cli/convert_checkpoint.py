"""Convert weights: other projects' files to checkpoints of srtoolbox, and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srtoolbox.cli.options import CommandParser, add_plugin, add_weights_options

SUMMARY = "convert weights from and to other projects' files"
EXAMPLE = """example:
  python tools/convert_checkpoint.py RRDB_ESRGAN_x4.pth -o esrgan.pth     # any known file -> ours
  python tools/convert_checkpoint.py best.pth --to basicsr -o net_g.pth   # params, params_ema
  python tools/convert_checkpoint.py best.pth --to basicsr -o net_g.safetensors
  python tools/convert_checkpoint.py best.pth -o weights.safetensors      # our names, EMA weights
  python tools/convert_checkpoint.py span.pth --fuse -o fast.pth          # SPAN for inference
  python tools/convert_checkpoint.py best.pth --to same -o net_g.pth      # as the file it was tuned from

formats:
  ours        config and weights, for every command here (the default for .pth)
  plain       the bare state_dict in our names (the default for .safetensors), which for most
              networks are the authors' names: it says so
  basicsr     BasicSR, Real-ESRGAN: params and params_ema
  mmagic      MMagic: generator. and generator_ema. in a state_dict
  esrgan      ESRGAN of 2018, 'old' names, bare: what most programs for upscaling read
  esrgan2019  ESRGAN of 2019, BSRGAN, RealSR: bare
  edsr        EDSR-PyTorch: EDSR, RCAN and RDN, bare, with their frozen means
  same        as the file that the run began from (load_from): its names, wrappers, number types"""
TO = ("ours", "plain", "basicsr", "mmagic", "esrgan", "esrgan2019", "edsr", "same")


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = CommandParser("convert_checkpoint", __doc__, EXAMPLE)
    add = parser.add_argument
    add("checkpoint", metavar="CKPT", help="a checkpoint of srtoolbox or of another project")
    add("-o", "--out", metavar="FILE", required=True, help="the .pth or .safetensors to write")
    add("--to", choices=TO, metavar="FORMAT", help=f"one of {', '.join(TO)}; see below")
    add("--like", metavar="FILE", help="write it as this file has its weights, as --to same does of the run's own")
    add("--raw", action="store_true", help="leave averaged (EMA) weights out")
    add(
        "--fuse",
        action="store_true",
        help="write SPAN in its form for inference: each sum of branches as one convolution",
    )
    add_weights_options(parser)
    add_plugin(parser)
    args = parser.parse(argv)
    out = Path(args.out)
    if out.suffix not in (".pth", ".safetensors"):
        parser.error(f"-o {out}: the suffix is .pth or .safetensors")
    if (args.like or args.to == "same") and (args.fuse or args.config or args.to != (None if args.like else "same")):
        parser.error("--like and --to same say names and network: leave another --to, --fuse and --config out")
    to = args.to or ("ours" if out.suffix == ".pth" else "plain")
    if to == "ours" and not args.like and out.suffix != ".pth":
        parser.error(f"-o {out}: a checkpoint of ours is a .pth")
    if out.exists() and Path(args.checkpoint).exists() and out.samefile(args.checkpoint):
        parser.error(f"-o {out} is the file to convert; give another name")
    from srtoolbox.apps.networks import generator_of
    from srtoolbox.weights.convert import convert
    from srtoolbox.weights.like import original_of, write_like

    parser.prepare(args)
    if args.like or to == "same":
        like = args.like or original_of(args.checkpoint)
        if out.exists() and Path(like).exists() and out.samefile(like):
            parser.error(f"-o {out} is the file to be like; give another name")
        described = write_like(args.checkpoint, like, out, raw=args.raw, scale=args.scale, trial=args.trial)
        print(f"{args.checkpoint} -> {out} ({described})")
        return 0
    how = {"config": generator_of(args.config), "scale": args.scale, "trial": args.trial}
    described = convert(args.checkpoint, out, to, **how, raw=args.raw, fuse=args.fuse)
    print(f"{args.checkpoint} -> {out} ({described})")
    return 0
