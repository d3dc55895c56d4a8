"""Train a network from a config: python tools/train.py CONFIG [options] [key=value ...]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["train", *sys.argv[1:]]))
