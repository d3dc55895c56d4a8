"""Train a config with many values: python tools/sweep.py CONFIG key=[a,b] [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["sweep", *sys.argv[1:]]))
