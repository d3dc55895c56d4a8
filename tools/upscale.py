"""Upscale pictures with a trained network: python tools/upscale.py CKPT FILES_OR_DIRS [-o DIR]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["upscale", *sys.argv[1:]]))
