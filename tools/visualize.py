"""Draw trainings, networks and results: python tools/visualize.py WHAT ... [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["visualize", *sys.argv[1:]]))
