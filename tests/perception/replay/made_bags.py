"""Small bags, whole and broken."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from fsb_perception.replay.bags.message_types import ros_types
from fsb_perception.replay.bags.storages import bag_files, writing

TYPES = ros_types()
PACKED, RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
FRAME = 33_333_333  # ns
_CHUNK = 20_000  # bytes
NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
JPEG = cv2.imencode(".jpg", NOISE)[1].tobytes()


def message(stamp: int, kind: str = PACKED) -> Any:
    """Make the message of a picture of 64 x 48 px that shows no face."""
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))
    header = TYPES.types["std_msgs/msg/Header"](time, "camera")
    if kind == RAW:
        return TYPES.types[RAW](header, 48, 64, "bgr8", 0, 192, NOISE.ravel())
    return TYPES.types[PACKED](header, "jpeg", np.frombuffer(JPEG, np.uint8))


def stamps(count: int) -> list[int]:
    """Return the stamps of a camera with 30 frames a second."""
    return [1_000_000_000 + n * FRAME for n in range(count)]


def write(
    folder: Path,
    topics: dict[str, Sequence[int]],
    kind: str = PACKED,
    storage: str = "mcap",
    others: Sequence[str] = (),
) -> Path:
    """Write a bag with an image at each stamp of each topic, and empty strings on other topics."""
    text = "std_msgs/msg/String"
    with writing(folder, storage) as writer:
        for topic, times in topics.items():
            connection = writer.add_connection(topic, kind, typestore=TYPES)
            for n, stamp in enumerate(times):
                received = 1_000_000_000 + n * FRAME  # recorders have a clock of their own
                writer.write(connection, received, TYPES.serialize_cdr(message(stamp, kind), kind))
        for topic in others:
            connection = writer.add_connection(topic, text, typestore=TYPES)
            data = TYPES.serialize_cdr(TYPES.types[text](""), text)
            writer.write(connection, 1_000_000_000, data)
    return folder


def write_packed(folder: Path, topic: str, times: Sequence[int]) -> Path:
    """Write a bag in which each message is compressed by itself, as rosbag2 can."""
    writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection(topic, PACKED, typestore=TYPES)
        for stamp in times:
            writer.write(connection, stamp, TYPES.serialize_cdr(message(stamp), PACKED))
    return folder


def write_chunks(path: Path, times: Sequence[int], compression: CompressionType) -> Path:
    """Write an MCAP file as recorders do: in chunks of a few images, each with its checksum."""
    definition, _ = TYPES.generate_msgdef(PACKED, ros_version=2)
    with path.open("wb") as file:
        writer = McapWriter(file, _CHUNK, compression=compression)
        writer.start(profile="ros2")
        schema = writer.register_schema(PACKED, "ros2msg", definition.encode())
        channel = writer.register_channel("/front/image/compressed", "cdr", schema)
        for stamp in times:
            data = bytes(TYPES.serialize_cdr(message(stamp), PACKED))
            writer.add_message(channel, stamp, data, stamp)
        writer.finish()
    return path


def file_of(bag: Path) -> Path:
    """Return the one file of messages in a bag."""
    (path,) = bag_files(bag)
    return path


def cut(bag: Path, share: float, into: Path) -> Path:
    """Copy a bag; the copy's file ends after a share of its bytes."""
    shutil.copytree(bag, into)
    path = file_of(into)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return into
