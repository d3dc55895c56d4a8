"""Draw trainings, networks and results: python tools/visualize.py WHAT ... [options]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["visualize", *sys.argv[1:]]))
