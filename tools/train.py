"""Train a network from a config: python tools/train.py CONFIG [options] [key=value ...]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["train", *sys.argv[1:]]))
