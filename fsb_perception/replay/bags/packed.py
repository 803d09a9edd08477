"""Messages that a recorder compressed one by one, as rosbag2 does with compression_mode message.

The metadata of a bag says so. Without them the data say so: Zstandard's frames begin with a number
of their own (RFC 8878, 3.1.1), and CDR begins with a zero.
"""

from __future__ import annotations

_MAGIC = b"\x28\xb5\x2f\xfd"
_MOST = 1 << 29  # bytes of one message


def unpacked(data: bytes | memoryview) -> bytes:
    r"""Return a message as CDR; data that are no Zstandard frame, or no whole one, as they are.

    >>> import zstandard
    >>> unpacked(zstandard.compress(bytes(4))), unpacked(bytes(4))
    (b'\x00\x00\x00\x00', b'\x00\x00\x00\x00')
    """
    packed = bytes(data)
    if not packed.startswith(_MAGIC):
        return packed
    import zstandard

    try:
        if zstandard.frame_content_size(packed) > _MOST:
            return packed  # the reader of the message counts it as unreadable
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=_MOST)
    except zstandard.ZstdError:
        return packed
