"""Blend networks: python tools/interp.py A.pth B.pth --alpha 0.8 -o C.pth"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["interp", *sys.argv[1:]]))
