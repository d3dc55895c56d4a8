"""Report all faults of configs: python tools/check_config.py CONFIG... [key=value ...]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["check_config", *sys.argv[1:]]))
