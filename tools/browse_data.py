"""See what a training gives its network: python tools/browse_data.py CONFIG [-o PAGE]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["browse_data", *sys.argv[1:]]))
