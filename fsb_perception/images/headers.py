"""Format and size of an encoded picture, read from its header by Pillow: nothing is decoded.

Each format that can be read is one row of `FORMATS`. OpenCV decodes them all, but it believes a
header: 35 bytes of GIF make it fill gigabytes. So Pillow reads the header first.
"""

from __future__ import annotations

import io
import pkgutil
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from PIL.ImageFile import ImageFile

from fsb_perception.errors import FsbError


class PictureError(FsbError):
    """A picture that cannot be read or written; the message gives the reason."""


@dataclass(frozen=True)
class Format:
    """One format of encoded pictures.

    Attributes:
        suffixes: of its files, in lower case.
        start: regular expression of the first bytes.
        reader: Pillow's class that reads the header; older versions lack some.
        densest: most pixels that one byte can hold; 0 if there is no such limit.
        has_checksums: Pillow walks over all parts of the file and checks each.
    """

    suffixes: tuple[str, ...]
    start: bytes
    reader: str
    densest: int = 0
    has_checksums: bool = False


@dataclass(frozen=True)
class Unread:
    """One format that is not read.

    Attributes:
        suffixes: of its files, in lower case.
        start: regular expression of the first bytes.
    """

    suffixes: tuple[str, ...]
    start: bytes


FORMATS: dict[str, Format] = {
    # A block of 8 x 8 pixels takes a bit or more.
    "jpeg": Format(
        (".jpg", ".jpeg", ".jpe", ".jfif"), rb"\xff\xd8\xff", "JpegImagePlugin:JpegImageFile", 512
    ),
    # Deflate shrinks to 1/1032 at best, and a byte holds 8 pixels of one bit.
    "png": Format(
        (".png", ".apng"), rb"\x89PNG\r\n\x1a\n", "PngImagePlugin:PngImageFile", 8 * 1032, True
    ),
    "webp": Format((".webp",), rb"RIFF....WEBP", "WebPImagePlugin:WebPImageFile"),
    "avif": Format((".avif",), rb"....ftypavi[fs]", "AvifImagePlugin:AvifImageFile"),
    "bmp": Format((".bmp", ".dib"), rb"BM", "BmpImagePlugin:BmpImageFile"),
    "gif": Format(
        (".gif",), rb"GIF8[79]a", "GifImagePlugin:GifImageFile", 4096
    ),  # LZW: 12 bits, 4096 pixels
    "jp2": Format(
        (".jp2",), rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "Jpeg2KImagePlugin:Jpeg2KImageFile"
    ),
    "pnm": Format((".pbm", ".pgm", ".ppm", ".pnm"), rb"P[1-6]\s", "PpmImagePlugin:PpmImageFile", 8),
    "sun": Format((".ras", ".sr"), rb"\x59\xa6\x6a\x95", "SunImagePlugin:SunImageFile"),
    "tiff": Format((".tif", ".tiff"), rb"II[*+]\0|MM\0[*+]", "TiffImagePlugin:TiffImageFile"),
}
"""The formats by name."""

UNREAD: dict[str, Unread] = {
    "HEIC": Unread((".heic", ".heif", ".hif"), rb"....ftyp(hei|hev|mif|msf)"),
    "JPEG XL": Unread((".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL "),
    "Radiance HDR": Unread((".hdr", ".pic"), rb"#\?R(ADIANC|GB)E"),
    "OpenEXR": Unread((".exr",), rb"\x76\x2f\x31\x01"),
    "PFM": Unread((".pfm",), rb"P[Ff]\s"),
}
"""Formats of pictures that are refused by name: OpenCV or Pillow cannot read them."""

SUFFIXES = frozenset(suffix for row in FORMATS.values() for suffix in row.suffixes)
"""Endings of picture files that are read, in lower case."""

KNOWN = "known: " + " ".join(sorted(suffix[1:] for suffix in SUFFIXES))


@dataclass(frozen=True)
class Header:
    """What the header of a picture claims; sides in pixels.

    >>> read_header(b"P6 2 1 255 ......", ["pnm"])
    Header(format='pnm', width=2, height=1)
    """

    format: str
    width: int
    height: int


def read_header(data: bytes, formats: Collection[str]) -> Header:
    """Read format and size of a picture.

    Args:
        data: the encoded picture.
        formats: names of the formats that are allowed, of those in `FORMATS`.

    Raises:
        PictureError: another format, a header that cannot be read, or a size that so few bytes
            cannot hold.
    """
    name = _checked_format(data, formats)
    row = FORMATS[name]
    try:
        with _reader(row)(io.BytesIO(data)) as picture:
            width, height = picture.size
            if row.has_checksums:
                picture.verify()
    except Exception as error:  # damaged bytes may break the reader anywhere
        raise PictureError(
            f"it is damaged or cut short: its {name} header cannot be read "
            f"({type(error).__name__}: {str(error)[:80]})"
        ) from error
    # Of two headers, Pillow takes the last and OpenCV the first.
    if name == "png" and data[16:24] != width.to_bytes(4, "big") + height.to_bytes(4, "big"):
        raise PictureError("it is damaged: its headers contradict each other")
    if row.densest and width * height > row.densest * len(data):
        raise PictureError(
            f"it claims {width} x {height} px, more than {len(data)} bytes of {name} can hold: "
            "it is damaged or cut short"
        )
    return Header(name, width, height)


def _reader(row: Format) -> Callable[[io.BytesIO], ImageFile]:
    reader: Callable[[io.BytesIO], ImageFile] = pkgutil.resolve_name(f"PIL.{row.reader}")
    return reader


def _checked_format(data: bytes, formats: Collection[str]) -> str:
    """Return the name of the format of the first bytes, if it is allowed."""
    name = _matching(data, FORMATS)
    if name in formats:
        return name
    allowed = f"read here: {' '.join(formats)}"
    if name:
        raise PictureError(f"it is a picture of the format {name} ({allowed})")
    if unread := _matching(data, UNREAD):
        raise PictureError(f"it is a {unread} picture, which is not read; save it as JPEG")
    raise PictureError(f"it is damaged, or not a still picture ({allowed})")


def _matching(data: bytes, table: Mapping[str, Format] | Mapping[str, Unread]) -> str:
    """Return the name of the row whose start fits the data; empty if none does."""
    return next((n for n, row in table.items() if re.match(row.start, data, re.DOTALL)), "")
