"""Encoded pictures that cost far more memory or time than their size tells, and their makers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np

from fsb_perception.types import Image

PICTURE = np.full((48, 64, 3), (40, 90, 200), np.uint8)
PNG_START = b"\x89PNG\r\n\x1a\n"


def encoded(suffix: str, *flags: int, picture: Image = PICTURE) -> bytes:
    return cv2.imencode(suffix, picture, flags)[1].tobytes()


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = struct.pack(">I", len(content) if length is None else length)
    return size + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, pixels: bytes = b"", before: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG_START + header + before + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int, *flags: int) -> bytes:
    """Return a JPEG of 64 x 48 px whose header claims another size."""
    data = bytearray(encoded(".jpg", *flags))
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def png_claiming(width: int, height: int) -> bytes:
    return png(width, height, bytes(1000))


def gif_claiming(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2\2L\1\0;"


def webp_claiming(width: int, height: int) -> bytes:
    """Return an animation of one small picture on a canvas of another size."""
    still = encoded(".webp")[12:]
    sides = [(side - 1).to_bytes(3, "little") for side in (width, height, 64, 48)]
    frame = bytes(6) + sides[2] + sides[3] + bytes(4) + still
    parts = {
        b"VP8X": b"\2\0\0\0" + sides[0] + sides[1], b"ANIM": bytes(6), b"ANMF": frame
    }  # fmt: skip
    body = b"".join(name + struct.pack("<I", len(part)) + part for name, part in parts.items())
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def with_scans(count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until it has ``count`` more."""
    data = encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def after_start(added: bytes) -> Callable[[], bytes]:
    """Return a maker of a JPEG with bytes behind its first marker."""
    data = encoded(".jpg")
    return lambda: data[:2] + added + data[2:]


def second_frame() -> bytes:
    """Return a JPEG with two frame headers; the first claims a large picture."""
    large, data = jpeg_claiming(30_000, 30_000), encoded(".jpg")
    at = large.index(b"\xff\xc0")
    header = large[at : at + 2 + int.from_bytes(large[at + 2 : at + 4], "big")]
    return data[:at] + header + data[at:]


def second_header() -> bytes:
    """Return a PNG with two headers; the first claims a large picture."""
    data, large = png(8, 8, bytes(8 * 25)), png(30_000, 30_000)
    return large[:33] + data[8:]


def changed(offset: int, *values: int) -> Callable[[], bytes]:
    """Return a maker of a JPEG with other bytes in its frame header."""
    data = bytearray(encoded(".jpg"))
    at = data.index(b"\xff\xc0") + offset
    data[at : at + len(values)] = values
    return lambda: bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "JPEG of a billion pixels": lambda: jpeg_claiming(32_000, 32_000),
    "JPEG of 49 million pixels in 700 bytes": lambda: jpeg_claiming(7000, 7000),
    "progressive JPEG of a billion pixels": lambda: jpeg_claiming(
        32_000, 32_000, cv2.IMWRITE_JPEG_PROGRESSIVE, 1
    ),
    "JPEG with a byte before its frame": lambda: jpeg_claiming(32_700, 32_700).replace(
        b"\xff\xc0", b"\0\xff\xc0"
    ),
    "JPEG of 1000 scans": lambda: with_scans(1000),
    "JPEG of a million segments": after_start(b"\xff\xe1\0\2" * 1_000_000),
    "JPEG with a megabyte of filler": after_start(b"\xff" * 1_000_000),
    "JPEG with two frames": second_frame,
    "JPEG of height 0": changed(5, 0, 0),
    "JPEG of width 0": changed(7, 0, 0),
    "JPEG of 12 bits": changed(4, 12),
    "JPEG with arithmetic coding": changed(1, 0xC9),
    "lossless JPEG": changed(1, 0xC3),
    "JPEG of its start alone": lambda: b"\xff\xd8\xff",
    "PNG of a billion pixels": lambda: png_claiming(32_000, 32_000),
    "PNG of 49 million pixels in 70 bytes": lambda: png(7000, 7000),
    "PNG with pixels of 2 GB": lambda: (
        png(8, 8)[:33] + chunk(b"IDAT", bytes(20), length=0x7FFFFFFF)
    ),
    "PNG with a text of 3 GB": lambda: (
        png(8, 8)[:33] + chunk(b"tEXt", bytes(20), length=0xC0000000)
    ),
    "PNG with a text that inflates": lambda: png(
        8, 8, bytes(8 * 25), chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(10**7)))
    ),
    "PNG with a profile that inflates": lambda: png(
        8, 8, bytes(8 * 25), chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(10**7)))
    ),
    "PNG with two headers": second_header,
    "PNG of too few pixels": lambda: png(800, 800, bytes(8 * 25)),
    "WebP of a billion pixels": lambda: webp_claiming(32_000, 32_000),
    "WebP of four billion pixels": lambda: webp_claiming(1 << 24, 255),
    "WebP of 144 million pixels": lambda: webp_claiming(12_000, 12_000),
    "GIF of a billion pixels": lambda: gif_claiming(32_000, 32_000),
    "TIFF": lambda: encoded(".tiff"),
    "BMP": lambda: encoded(".bmp"),
    "JPEG 2000": lambda: encoded(".jp2"),
    "PPM": lambda: b"P6 1 1 255 abc",
    "Radiance HDR": lambda: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 32000 +X 32000\n",
}
"""Data that a robot refuses, by name."""
