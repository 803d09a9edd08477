"""Measure how much faster than real time recordings are judged, beside decoding alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from fsb_perception.config import PerceptionConfig
from fsb_perception.images.decoding import encode_picture
from fsb_perception.options import build
from fsb_perception.replay.bags.reader import Bag, choose_topics
from fsb_perception.replay.bags.storages import writing
from fsb_perception.replay.bags.topics import COMPRESSED
from fsb_perception.replay.running.many import use_one_thread
from fsb_perception.replay.running.offline import Offline
from fsb_perception.samples.clip import FPS, Clip

_FRAMES, _ROUNDS = 300, 5
_FRAME_NS = 1_000_000_000 // FPS
TARGET = 3.0
_LIMIT_S = 600


def measure_replay(bundle: str, device: str) -> dict[str, Any]:
    """Judge one camera, 640x480 JPEG, 30 a second, three faces; medians of rounds in turn."""
    # In a process of its own: the number of threads can be set only once.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure, bundle, device).result(_LIMIT_S)


def _measure(bundle: str, device: str) -> dict[str, Any]:
    use_one_thread()
    config = build(PerceptionConfig, {"bundle": bundle, "engine.device": device})
    offline = Offline(config)
    with tempfile.TemporaryDirectory() as folder:
        bag = _make_bag(Path(folder) / "bag")
        _judge(bag, offline)
        rounds = [(_seconds(_decode, bag), _seconds(_judge, bag, offline)) for _ in range(_ROUNDS)]
    life = _FRAMES / FPS
    decode, judge = (life / median(column) for column in zip(*rounds, strict=True))
    ratio = median(judged / decoded for decoded, judged in rounds)
    return {
        "times_real_time": round(judge, 2),
        "decoding_alone_times_real_time": round(decode, 2),
        "judging_by_decoding": round(ratio, 2),
        "target": TARGET,
        "frames": _FRAMES,
        "rounds": _ROUNDS,
    }


def _seconds(work: Callable[..., None], *arguments: Any) -> float:
    begun = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - begun


def _decode(path: Path) -> None:
    bag = Bag(path)
    for frame in bag.frames(choose_topics(bag)):
        frame.decode()


def _judge(path: Path, offline: Offline) -> None:
    bag = Bag(path)
    rows = [row for row, _ in offline.answers(bag, choose_topics(bag))]
    if any(len(row["faces"]) != 3 for row in rows[FPS:]) or len(rows) != _FRAMES:
        raise RuntimeError("not every face was followed in every frame: nothing was measured")


def _make_bag(path: Path) -> Path:
    from rosbags.typesys import Stores, get_typestore

    store, clip = get_typestore(Stores.ROS2_KILTED), Clip("steady")
    types: Any = store.types
    with writing(path) as writer:
        topic = writer.add_connection("/image/compressed", COMPRESSED, typestore=store)
        for index in range(_FRAMES):
            stamp = (index + 1) * _FRAME_NS
            clock = types["builtin_interfaces/msg/Time"](*divmod(stamp, 1_000_000_000))
            jpeg = np.frombuffer(encode_picture(clip.frame(index), ".jpg"), np.uint8)
            header = types["std_msgs/msg/Header"](clock, "camera")
            message = types[COMPRESSED](header, "jpeg", jpeg)
            writer.write(topic, stamp, store.serialize_cdr(message, COMPRESSED))
    return path
