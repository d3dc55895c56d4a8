"""Upscale a video with a trained network: python tools/upscale_video.py CKPT VIDEO -o FILE"""

import sys

from srtoolbox.cli import main

if __name__ == "__main__":  # a worker process imports this file again
    raise SystemExit(main(["upscale_video", *sys.argv[1:]]))
