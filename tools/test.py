"""Score checkpoints, or bicubic, on test sets: python tools/test.py CONFIG [CKPT ...] [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["test", *sys.argv[1:]]))
