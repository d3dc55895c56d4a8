"""Upscale images with a trained network: python tools/upscale.py CKPT FILES_OR_DIRS [-o DIR]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["upscale", *sys.argv[1:]]))
