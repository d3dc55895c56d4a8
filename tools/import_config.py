"""Import a config: python tools/import_config.py train_ESRGAN_x4.yml -o esrgan.py"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["import_config", *sys.argv[1:]]))
