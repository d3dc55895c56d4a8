"""Images: reading, writing, colour, and the way to tensors.

The only user of cv2 and, but for drawing, of Pillow. An image is an array HWC, uint8 or uint16,
C = 1 (gray) or 3 (RGB); how a file becomes one says `reading`. A `Picture` is such an array with
its alpha and metadata. What is for few lies in the modules: `pixels`, `file_types`.
"""

from srtoolbox.image.reading import Picture, decode_image, decode_picture, image_shape, read_image, read_picture
from srtoolbox.image.saving import encode_image, write_image, write_picture
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

__all__ = [
    "Picture",
    "batch_to_float",
    "decode_image",
    "decode_picture",
    "encode_image",
    "expand_gray",
    "image_shape",
    "read_image",
    "read_picture",
    "rgb_to_y",
    "rgb_to_ycbcr",
    "to_image",
    "to_tensor",
    "to_uint8",
    "write_image",
    "write_picture",
    "ycbcr_to_rgb",
]
