"""Say where the time of a training goes: python tools/profile_run.py CONFIG [options] [key=value ...]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["profile_run", *sys.argv[1:]]))
