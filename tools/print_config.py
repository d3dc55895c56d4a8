"""Print a config resolved: python tools/print_config.py CONFIG [key=value ...]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["print_config", *sys.argv[1:]]))
