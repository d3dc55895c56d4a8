"""Check data before training on it: python tools/check_data.py FOLDERS_OR_CONFIG [--test FOLDERS]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["check_data", *sys.argv[1:]]))
