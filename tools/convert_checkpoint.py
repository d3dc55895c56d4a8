"""Convert weights: python tools/convert_checkpoint.py IN.pth [--to FORMAT] -o OUT.pth"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["convert_checkpoint", *sys.argv[1:]]))
