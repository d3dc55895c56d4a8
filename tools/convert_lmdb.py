"""Convert folders of pictures to LMDB: python tools/convert_lmdb.py FOLDER -o OUT [options]"""

import sys

from srtoolbox.cli import main

raise SystemExit(main(["convert_lmdb", *sys.argv[1:]]))
