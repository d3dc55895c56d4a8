"""Look into the fault that ended a training: python tools/replay.py DUMP [options]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["replay", *sys.argv[1:]]))
