"""Export a network for other programs: python tools/export.py CKPT --onnx FILE.onnx"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["export", *sys.argv[1:]]))
