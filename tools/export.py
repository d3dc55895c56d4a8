"""Export a network for other programs: python tools/export.py CKPT --onnx FILE.onnx"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["export", *sys.argv[1:]]))
