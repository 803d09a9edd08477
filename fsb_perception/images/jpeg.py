"""Whether a JPEG holds its whole picture: the one rule for the ends of truncated files.

    SOI | tables | SOF: size, components | SOS: scan, entropy data | SOS: scan, ... | EOI

Decoders fill what is missing with grey and say nothing. A picture is whole if no pixel depends on
bytes that might follow the data of a scan. So the rule decodes with bytes added there: a whole
picture stays the same. Only the marker EOI may be missing.

The segments are those of ITU-T T.81, annex B.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL.JpegImagePlugin import JpegImageFile

from fsb_perception.images.headers import PictureError

END = b"\xff\xd9"  # the marker EOI
# libjpeg looks 8 bytes ahead. With the first of these it prints no warning; the last is ones alone,
# which are no code of any table.
PADDINGS = (bytes(8), b"\x55" * 8, b"\xff\x00" * 8)
MOST_SCANS = 50  # progressive files have about ten; each scan costs a pass over all blocks
# Pillow takes a microsecond for each segment and each byte between them.
_MOST_SEGMENTS = 4096
_MOST_BETWEEN = 1024  # bytes
_SEGMENT = re.compile(rb"\xff[^\x00\xff]", re.DOTALL)
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)  # restarts are inside a scan
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # C4, C8 and CC are other segments
_COEFFICIENTS = range(64)  # of a block


@dataclass(frozen=True)
class Scan:
    """One pass over the picture, or over one of its components.

    Attributes:
        components: their identifiers.
        complete: coefficients whose last bits this scan brings.
        start: offset of the first byte of entropy data.
        end: offset behind the last one.
    """

    components: bytes
    complete: frozenset[int]
    start: int
    end: int


@dataclass(frozen=True)
class Jpeg:
    """The structure of a JPEG.

    Attributes:
        frame: the marker of its frame header, such as 0xC2 for progressive.
        components: their identifiers.
        scans: in the order of the file.
        has_end: the marker EOI follows the last scan.
    """

    frame: int
    components: bytes
    scans: tuple[Scan, ...]
    has_end: bool

    @property
    def end(self) -> int:
        """Offset behind the entropy data of the last scan."""
        return self.scans[-1].end

    @property
    def is_single_scan(self) -> bool:
        """True if each block is finished as it is read, as the JPEGs of cameras are."""
        return self.frame != _PROGRESSIVE and len(self.scans[0].components) == len(self.components)

    @property
    def has_all_scans(self) -> bool:
        """True if the scans bring every coefficient of every component."""
        return all(self._complete(component) == {*_COEFFICIENTS} for component in self.components)

    def _complete(self, component: int) -> set[int]:
        return {k for scan in self.scans if component in scan.components for k in scan.complete}


def is_jpeg(data: bytes) -> bool:
    """Return whether the first bytes are those of a JPEG."""
    return data.startswith(b"\xff\xd8\xff")


def read_structure(data: bytes) -> Jpeg:
    """Find the frame and the scans of a JPEG.

    Raises:
        PictureError: no frame or no scan, a coding that OpenCV does not read, or more than
            `MOST_SCANS` scans.

    >>> from fsb_perception.images.decoding import encode_picture
    >>> import numpy as np
    >>> structure = read_structure(encode_picture(np.zeros((8, 8, 3), np.uint8)))
    >>> len(structure.scans), structure.has_end
    (1, True)
    """
    frame, components, scans, has_end = 0, b"", [], False
    for marker, content, start, end in _segments(data):
        if marker in _FRAMES:
            frame, components = marker, content[6::3]
        elif marker == _START_OF_SCAN:
            scans.append(_scan(content, frame, start, end))
        has_end = marker == _END_OF_IMAGE
        if len(scans) > MOST_SCANS:
            raise PictureError(f"it has more than {MOST_SCANS} scans; save it as a baseline JPEG")
    if frame not in (_BASELINE, _EXTENDED, _PROGRESSIVE) or not components:
        raise PictureError(
            f"it is damaged, or a JPEG whose coding is not read (frame marker {frame:#x}); "
            "save it as a baseline JPEG"
        )
    if not scans:
        raise PictureError("it is damaged or cut short: a JPEG without picture data")
    return Jpeg(frame, components, tuple(scans), has_end)


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int, int]]:
    """Yield marker, content, and start and end of the data that follow, up to EOI.

    Bytes between segments are passed over, as libjpeg does.
    """
    place = 2
    for _ in range(_MOST_SEGMENTS):
        match = _SEGMENT.search(data, place)
        if match is None:
            return
        if match.start() - place > _MOST_BETWEEN:
            raise PictureError("it is damaged: a JPEG with thousands of bytes between its segments")
        marker, place = data[match.end() - 1], match.end()
        if marker == _END_OF_IMAGE:
            yield marker, b"", place, place
            return
        if marker in _ALONE:
            continue
        length = max(int.from_bytes(data[place : place + 2], "big"), 2)
        content, place = data[place + 2 : place + length], place + length
        end = _end_of_scan(data, place) if marker == _START_OF_SCAN else place
        yield marker, content, place, end
        place = end
    raise PictureError(f"it is damaged: a JPEG of more than {_MOST_SEGMENTS} segments")


def _end_of_scan(data: bytes, start: int) -> int:
    """Return the offset behind the entropy data that begin at ``start``."""
    after = _AFTER_SCAN.search(data, start)
    end = after.start() if after else len(data)
    # 0xFF is a filler before a marker; in entropy data a 0 follows it.
    return start + len(data[start:end].rstrip(b"\xff"))


def _scan(content: bytes, frame: int, start: int, end: int) -> Scan:
    count = content[0] if content else 0
    components, band = content[1 : 1 + 2 * count : 2], content[1 + 2 * count :]
    complete = _COEFFICIENTS
    if frame == _PROGRESSIVE and len(band) >= 3:
        first, last, bits = band[:3]
        low_bit = bits & 15  # bits below it come in a later scan
        complete = range(0) if low_bit else range(first, min(last, _COEFFICIENTS[-1]) + 1)
    return Scan(components, frozenset(complete), start, end)


def check_whole(data: bytes, structure: Jpeg) -> None:
    """Refuse a JPEG of several scans of which a part is missing.

    Pillow decodes twice, since it prints no warnings about the added bytes.

    Raises:
        PictureError: a part of the picture is missing, or Pillow cannot decode it.
    """
    if not (structure.has_end or structure.has_all_scans):
        raise PictureError("it is cut short: scans of the JPEG are missing")
    first, second = (_decode(_with_bytes(data, structure, added)) for added in PADDINGS[:2])
    if first != second:
        raise PictureError("it is damaged or cut short: a part of the JPEG is missing")


def _with_bytes(data: bytes, structure: Jpeg, added: bytes) -> bytes:
    """Return the JPEG with bytes added behind the entropy data of each scan."""
    parts, place = [], 0
    for scan in structure.scans:
        parts += [data[place : scan.end], added]
        place = scan.end
    return b"".join([*parts, END])


def _decode(data: bytes) -> int:
    """Return a hash of the pixels."""
    try:
        with JpegImageFile(io.BytesIO(data)) as picture:
            return hash(picture.tobytes())
    except Exception as error:  # damaged bytes may break the reader anywhere
        raise PictureError(f"it is damaged or cut short ({str(error)[:80]})") from error
