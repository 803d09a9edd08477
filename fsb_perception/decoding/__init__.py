"""Pictures out of messages: encodings, sizes that files claim, and the conversion to BGR."""

from __future__ import annotations

from fsb_perception.decoding.images import (
    ConversionError,
    PackedImage,
    RawImage,
    compressed_to_bgr,
    image_to_bgr,
)

__all__ = ["ConversionError", "PackedImage", "RawImage", "compressed_to_bgr", "image_to_bgr"]
