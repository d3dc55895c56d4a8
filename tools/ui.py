"""Upscale in the browser: python tools/ui.py [--weights DIR]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["ui", *sys.argv[1:]]))
