"""Convert folders of images to LMDB: python tools/convert_lmdb.py FOLDER -o OUT [options]"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["convert_lmdb", *sys.argv[1:]]))
