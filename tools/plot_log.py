"""Draw the training curves of runs: python tools/plot_log.py WORK_DIR... [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["plot_log", *sys.argv[1:]]))
