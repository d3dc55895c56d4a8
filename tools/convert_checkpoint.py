"""Convert weights: python tools/convert_checkpoint.py IN.pth [--to FORMAT] -o OUT.pth"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["convert_checkpoint", *sys.argv[1:]]))
