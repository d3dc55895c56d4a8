"""Compare runs, their configs and scores: python tools/compare.py RUN [RUN ...] [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["compare", *sys.argv[1:]]))
