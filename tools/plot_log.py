"""Draw the training curves of runs: python tools/plot_log.py WORK_DIR... [options]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["plot_log", *sys.argv[1:]]))
