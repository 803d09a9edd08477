"""The size that JPEG or PNG data claim, read before any memory is spent on it."""

from __future__ import annotations

from collections.abc import Iterator

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
# Frame headers, which hold the size; C4, C8 and CC are other segments.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SCAN, _JPEG_FILLER = 0xDA, 0xFF


def claimed_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height in px as the header has them; None if it is no JPEG or PNG header.

    >>> claimed_size(bytes.fromhex("89504e470d0a1a0a 0000000d 49484452 00000100 00000020"))
    (256, 32)
    """
    if data.startswith(_PNG) and len(data) >= 24:
        return _number(data[16:20]), _number(data[20:24])
    if data.startswith(_JPEG):
        for marker, start in _segments(data):
            if marker in _JPEG_FRAMES:
                return _number(data[start + 7 : start + 9]), _number(data[start + 5 : start + 7])
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and offset of the segments of a JPEG, up to the first scan."""
    start = len(_JPEG)
    while start + 9 <= len(data) and data[start] == 0xFF and data[start + 1] != _JPEG_SCAN:
        marker = data[start + 1]
        if marker == _JPEG_FILLER:
            start += 1
            continue
        yield marker, start
        start += 2 + max(_number(data[start + 2 : start + 4]), 2)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
