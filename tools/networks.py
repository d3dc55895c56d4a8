"""Networks to choose from: python tools/networks.py [NAME ...] [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["networks", *sys.argv[1:]]))
