"""The size that JPEG or PNG data claim to have, read before any memory is spent on it."""

from __future__ import annotations

from collections.abc import Iterator

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
# Frame headers, which hold the size; C4, C8 and CC are something else.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_FILLER = 0xDA, 0xFF


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in px as the header has them; None where it is not JPEG or PNG, or cut off.

    >>> claimed_size(bytes.fromhex("89504e470d0a1a0a 0000000d 49484452 00000100 00000020"))
    (256, 32)
    """
    if data.startswith(_PNG) and len(data) >= 24:
        return _number(data[16:20]), _number(data[20:24])
    if data.startswith(_JPEG):
        for marker, at in _segments(data):
            if marker in _JPEG_FRAMES:
                return _number(data[at + 7 : at + 9]), _number(data[at + 5 : at + 7])
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of the segments of a JPEG, up to the first scan."""
    at = len(_JPEG)
    while at + 9 <= len(data) and data[at] == 0xFF and data[at + 1] != _JPEG_SCAN:
        marker = data[at + 1]
        if marker == _JPEG_FILLER:
            at += 1
            continue
        yield marker, at
        at += 2 + max(_number(data[at + 2 : at + 4]), 2)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
