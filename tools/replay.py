"""Look into the fault that ended a training: python tools/replay.py DUMP [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["replay", *sys.argv[1:]]))
