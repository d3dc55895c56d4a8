"""Pictures: reading, writing, colour, and the way to tensors. The only user of cv2 and, but for drawing, of Pillow.

A picture is an array HWC, uint8 or uint16, C = 1 (gray) or 3 (RGB); how a file becomes one says `reading`.
"""

from srtoolbox.image.editing import Filling, channel_means, compress_jpeg, gaussian_blur, mix_channels, rotate
from srtoolbox.image.headers import MAX_BYTES, MAX_PIXELS
from srtoolbox.image.pixels import copy_view, squared_distance, window_means
from srtoolbox.image.reading import (
    IMAGE_SUFFIXES,
    decode_image,
    image_shape,
    list_images,
    read_image,
)
from srtoolbox.image.tensors import (
    batch_to_float,
    expand_gray,
    rgb_to_y,
    rgb_to_ycbcr,
    to_image,
    to_tensor,
    to_uint8,
    ycbcr_to_rgb,
)
from srtoolbox.image.writing import encode_image, write_image

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "Filling",
    "batch_to_float",
    "channel_means",
    "compress_jpeg",
    "copy_view",
    "decode_image",
    "encode_image",
    "expand_gray",
    "gaussian_blur",
    "image_shape",
    "list_images",
    "mix_channels",
    "read_image",
    "rgb_to_y",
    "rgb_to_ycbcr",
    "rotate",
    "squared_distance",
    "to_image",
    "to_tensor",
    "to_uint8",
    "window_means",
    "write_image",
    "ycbcr_to_rgb",
]
