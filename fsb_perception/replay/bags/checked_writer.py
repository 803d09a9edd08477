"""rosbags' writer, whose MCAP files carry the checksum of every chunk.

rosbags writes a zero, which means that a chunk has none, so a damaged chunk would be read as it is.
The checksum is the CRC-32 of the chunk before compression: mcap.dev/spec, "Chunk".
"""

from __future__ import annotations

import zlib

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter

_CRC_AT = 9 + 24  # behind the record's opcode and length, two times and a size


class _CheckedMcapWriter(McapWriter):
    def close_chunk(self) -> None:
        begin, checksum = self.bio.tell(), zlib.crc32(self.chunk.bio.getbuffer())
        super().close_chunk()
        end = self.bio.tell()
        self.bio.seek(begin + _CRC_AT)
        self.bio.write(checksum.to_bytes(4, "little"))
        self.bio.seek(end)


class CheckedWriter(Writer):
    """A writer of rosbag2 folders; its MCAP chunks have checksums."""

    STORAGE_PLUGINS = {  # noqa: RUF012 (rosbags declares it so)
        **Writer.STORAGE_PLUGINS,
        StoragePlugin.MCAP: _CheckedMcapWriter,
    }
