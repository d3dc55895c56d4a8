"""Score checkpoints, or bicubic, on test sets: python tools/test.py CONFIG [CKPT ...] [options]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["test", *sys.argv[1:]]))
