"""Images: reading, writing, colour, and the way to tensors.

The only user of cv2 and, but for drawing, of Pillow.

An image is an array HWC, uint8 or uint16, C = 1 (gray) or 3 (RGB); how a file becomes one says
`reading`. A `Picture` is such an array with its alpha and metadata (`picture`), for those who
upscale files and not for stores.
"""

from srtoolbox.image.editing import Filling, channel_means, compress_jpeg, gaussian_blur, mix_channels, rotate
from srtoolbox.image.files.file_types import (
    START_BYTES,
    WRITE_SUFFIXES,
    is_readable,
    is_unwritable,
    kind_of,
    listed,
    read_suffixes,
)
from srtoolbox.image.files.folders import Listing, Unread, list_images, scan_folder, unread_kind_of, unread_sentence
from srtoolbox.image.files.formats import Form
from srtoolbox.image.files.metadata import Metadata
from srtoolbox.image.files.moving import is_moving_image, moving_frames
from srtoolbox.image.files.opening import MAX_BYTES, MAX_PIXELS
from srtoolbox.image.files.picture import Picture, decode_picture, read_picture
from srtoolbox.image.files.saving import (
    check_form,
    encode_bands,
    encode_image,
    form_of,
    write_bands,
    write_image,
    write_picture,
)
from srtoolbox.image.files.transparency import AlphaBounds, fill_hidden
from srtoolbox.image.pixels import copy_view, squared_distance, thumbnail, window_means
from srtoolbox.image.reading import decode_image, image_facts, image_shape, read_image
from srtoolbox.image.tensors import (
    batch_to_float,
    batch_to_y,
    expand_gray,
    rgb_to_y,
    rgb_to_ycbcr,
    to_image,
    to_tensor,
    to_uint8,
    ycbcr_to_rgb,
)

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "START_BYTES",
    "WRITE_SUFFIXES",
    "AlphaBounds",
    "Filling",
    "Form",
    "Listing",
    "Metadata",
    "Picture",
    "Unread",
    "batch_to_float",
    "batch_to_y",
    "channel_means",
    "check_form",
    "compress_jpeg",
    "copy_view",
    "decode_image",
    "decode_picture",
    "encode_bands",
    "encode_image",
    "expand_gray",
    "fill_hidden",
    "form_of",
    "gaussian_blur",
    "image_facts",
    "image_shape",
    "is_moving_image",
    "is_readable",
    "is_unwritable",
    "kind_of",
    "list_images",
    "listed",
    "mix_channels",
    "moving_frames",
    "read_image",
    "read_picture",
    "read_suffixes",
    "rgb_to_y",
    "rgb_to_ycbcr",
    "rotate",
    "scan_folder",
    "squared_distance",
    "thumbnail",
    "to_image",
    "to_tensor",
    "to_uint8",
    "unread_kind_of",
    "unread_sentence",
    "window_means",
    "write_bands",
    "write_image",
    "write_picture",
    "ycbcr_to_rgb",
]
