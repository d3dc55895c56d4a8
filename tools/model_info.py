"""Parameters, FLOPs, time and memory: python tools/model_info.py CONFIG_OR_CKPT [options] [key=value ...]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["model_info", *sys.argv[1:]]))
