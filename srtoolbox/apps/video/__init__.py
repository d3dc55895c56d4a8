"""Videos, upscaled frame by frame: audio, times and colours are kept, and a killed job goes on."""

from srtoolbox.apps.video.parts import Encoding
from srtoolbox.apps.video.upscale import upscale_video

__all__ = ["Encoding", "upscale_video"]
