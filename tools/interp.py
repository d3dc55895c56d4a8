"""Blend networks: python tools/interp.py A.pth B.pth --alpha 0.8 -o C.pth"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["interp", *sys.argv[1:]]))
