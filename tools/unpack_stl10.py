"""Unpack STL-10 to a folder of PNGs: python tools/unpack_stl10.py X.bin -o DIR"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["unpack_stl10", *sys.argv[1:]]))
