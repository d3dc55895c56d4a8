"""Print a config resolved: python tools/print_config.py CONFIG [key=value ...]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["print_config", *sys.argv[1:]]))
