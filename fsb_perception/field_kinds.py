"""The kinds of fields that a face has: how a value looks in the core, a message, a row and JSON.

    core type <-> plain Python <-> message of ROS or of rosbags
                               <-> JSON

Plain Python stands between them, since a NumPy scalar in a field of a message aborts the process
or silently sends 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsb_perception.types import QualityFlag, TrackState

_SECOND = 1_000_000_000  # ns


@dataclass(frozen=True)
class MessageLibrary:
    """The constructors of one library's messages: ROS and rosbags each have their own classes.

    Attributes:
        face: makes a ``FaceAttributes`` from its fields.
        estimate: makes an ``AttributeEstimate`` from its fields.
        point: makes a ``geometry_msgs/Point`` from x, y and z.
        time: makes a ``builtin_interfaces/Time`` from nanoseconds.
        floats: makes the value of a field that is an array of float32.

    >>> from types import SimpleNamespace as Message
    >>> library = MessageLibrary(Message, Message, Message, time=lambda stamp: f"{stamp} ns")
    >>> STAMP.write(library, 5)
    '5 ns'
    """

    face: Callable[..., Any]
    estimate: Callable[..., Any]
    point: Callable[..., Any]
    time: Callable[[int], Any]
    floats: Callable[[list[float]], Any] = list


def _same(value: Any) -> Any:
    return value


def _as_it_is(library: MessageLibrary, value: Any) -> Any:
    del library
    return value


@dataclass(frozen=True)
class Kind:
    """The converters of one kind of field: between core, plain Python, message and JSON.

    Attributes:
        plain: from the core's value, NumPy scalars included, to plain Python.
        core: from plain Python to the core's value.
        write: from plain Python to the value in a message.
        read: from the value in a message to a value that ``core`` takes.
        to_json: from plain Python to JSON.
        from_json: from JSON to plain Python.

    >>> FLAGS.plain(QualityFlag.DARK), FLAGS.to_json(16), FLAGS.core(16)
    (16, ['DARK'], <QualityFlag.DARK: 16>)
    """

    plain: Callable[[Any], Any]
    core: Callable[[Any], Any]
    write: Callable[[MessageLibrary, Any], Any] = _as_it_is
    read: Callable[[Any], Any] = _same
    to_json: Callable[[Any], Any] = _same
    from_json: Callable[[Any], Any] = _same


def number_to_json(value: float) -> float | None:
    """Return the number as JSON can hold it: None for NaN and infinities."""
    return value if math.isfinite(value) else None


def _number_from_json(value: float | None) -> float:
    return math.nan if value is None else value


def flag_names(flags: QualityFlag | int) -> list[str]:
    """Return the names of the quality flags that are set.

    >>> flag_names(QualityFlag.DARK | QualityFlag.SMALL)
    ['SMALL', 'DARK']
    """
    return [str(flag.name) for flag in QualityFlag if flag & flags]


def to_nanoseconds(time: Any) -> int:
    """Return a ``builtin_interfaces/Time`` as whole nanoseconds."""
    return int(time.sec) * _SECOND + int(time.nanosec)


def _floats(values: Iterable[float]) -> list[float]:
    return [float(value) for value in values]


def _write_floats(library: MessageLibrary, values: list[float]) -> Any:
    return library.floats(values)


def _array_of(*shape: int) -> Kind:
    return Kind(
        plain=lambda array: array.ravel().tolist(),
        core=lambda values: np.array(values, np.float32).reshape(shape),
        write=_write_floats,
        to_json=lambda values: [number_to_json(value) for value in values],
        from_json=lambda values: [_number_from_json(value) for value in values],
    )


TEXT = Kind(str, str)
TEXTS = Kind(list, tuple)
COUNT = Kind(int, int)
BOOLEAN = Kind(bool, bool)
# A probability or a score is always known, so a NaN here is a defect that JSON must not hide.
SHARE = Kind(float, float)
SHARES = Kind(_floats, lambda values: tuple(_floats(values)), write=_write_floats)
NUMBER = Kind(float, float, to_json=number_to_json, from_json=_number_from_json)
ANGLES = Kind(
    _floats,
    lambda values: tuple(_floats(values)),
    write=_write_floats,
    to_json=lambda values: [number_to_json(value) for value in values],
    from_json=lambda values: [_number_from_json(value) for value in values],
)
BOX = _array_of(4)
LANDMARKS = _array_of(5, 2)
STAMP = Kind(int, int, write=lambda library, stamp: library.time(stamp), read=to_nanoseconds)
STATE = Kind(
    int,
    TrackState,
    to_json=lambda number: TrackState(number).name,
    from_json=lambda name: int(TrackState[name]),
)
FLAGS = Kind(
    int,
    QualityFlag,
    to_json=flag_names,
    from_json=lambda names: sum(int(QualityFlag[name]) for name in names),
)
