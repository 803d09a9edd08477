"""Pictures in every encoding, and the BGR they must become: made with NumPy, without OpenCV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

WIDTH, HEIGHT = 12, 8
Bytes = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@dataclass(frozen=True)
class Reference:
    """Planes of 8-bit samples, (rows, samples in a row) each, and the picture they stand for."""

    planes: Sequence[Bytes]
    bgr: NDArray
    tolerance: int = 0
    border: int = 0  # px where OpenCV's Bayer conversion has no neighbours


def interleaved(order: Sequence[int]) -> Reference:
    bgra = noise(HEIGHT, WIDTH, 4)
    return Reference([bgra[..., order].reshape(HEIGHT, -1)], bgra[..., :3])


def grey() -> Reference:
    luma = noise(HEIGHT, WIDTH)
    return Reference([luma], np.stack([luma] * 3, axis=-1))


def bt601(y: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """BGR from YUV of limited range, as ITU-R BT.601 writes it; planes of one shape."""
    y, u, v = 1.164 * (y - 16.0), u - 128.0, v - 128.0
    bgr = np.stack([y + 2.018 * u, y - 0.813 * v - 0.391 * u, y + 1.596 * v], axis=-1)
    return bgr.clip(0, 255)


def yuv(rows: int, columns: int, pack: Callable[..., list[Bytes]]) -> Reference:
    """Return a picture whose colour is shared by blocks of ``rows`` x ``columns`` pixels."""
    y = noise(HEIGHT, WIDTH).clip(16, 235)  # what lies below is nothing that BT.601 defines
    u, v = noise(2, HEIGHT // rows, WIDTH // columns, seed=1)
    full = [plane.repeat(rows, axis=0).repeat(columns, axis=1) for plane in (u, v)]
    return Reference(pack(y, u, v), bt601(y, *full), tolerance=2)


def semi_planar(y: Bytes, first: Bytes, second: Bytes) -> list[Bytes]:
    return [y, np.stack([first, second], axis=-1).reshape(len(first), -1)]


def packed(*samples: Bytes) -> list[Bytes]:
    return [np.stack(samples, axis=-1).reshape(HEIGHT, -1)]


def nv12() -> Reference:
    return yuv(2, 2, semi_planar)


def nv21() -> Reference:
    return yuv(2, 2, lambda y, u, v: semi_planar(y, v, u))


def nv24() -> Reference:
    return yuv(1, 1, semi_planar)


def uyvy() -> Reference:
    return yuv(1, 2, lambda y, u, v: packed(u, y[:, ::2], v, y[:, 1::2]))


def yuyv() -> Reference:
    return yuv(1, 2, lambda y, u, v: packed(y[:, ::2], u, y[:, 1::2], v))


def bayer(pattern: str) -> Reference:
    """Return the mosaic that a sensor makes of slopes, which come back exactly in right colours."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    bgr = np.stack([20 + 4 * x, 230 - 6 * y, 90 + 2 * x + 4 * y], axis=-1).astype(np.uint8)
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for index, colour in enumerate(pattern):
        rows, columns = slice(index // 2, None, 2), slice(index % 2, None, 2)
        mosaic[rows, columns] = bgr[rows, columns, "bgr".index(colour)]
    return Reference([mosaic], bgr, border=1)


REFERENCES: dict[str, Callable[[], Reference]] = {
    "bgr8": lambda: interleaved([0, 1, 2]),
    "rgb8": lambda: interleaved([2, 1, 0]),
    "bgra8": lambda: interleaved([0, 1, 2, 3]),
    "rgba8": lambda: interleaved([2, 1, 0, 3]),
    "mono8": grey,
    "bgr16": lambda: interleaved([0, 1, 2]),
    "rgb16": lambda: interleaved([2, 1, 0]),
    "bgra16": lambda: interleaved([0, 1, 2, 3]),
    "rgba16": lambda: interleaved([2, 1, 0, 3]),
    "mono16": grey,
    "8UC1": grey,
    "8UC3": lambda: interleaved([0, 1, 2]),
    "8UC4": lambda: interleaved([0, 1, 2, 3]),
    "16UC1": grey,
    "16UC3": lambda: interleaved([0, 1, 2]),
    "16UC4": lambda: interleaved([0, 1, 2, 3]),
    "yuv422": uyvy,
    "uyvy": uyvy,
    "yuv422_yuy2": yuyv,
    "yuyv": yuyv,
    "nv12": nv12,
    "nv21": nv21,
    "nv24": nv24,
    "bayer_rggb8": lambda: bayer("rggb"),
    "bayer_bggr8": lambda: bayer("bggr"),
    "bayer_gbrg8": lambda: bayer("gbrg"),
    "bayer_grbg8": lambda: bayer("grbg"),
    "bayer_rggb16": lambda: bayer("rggb"),
    "bayer_bggr16": lambda: bayer("bggr"),
    "bayer_gbrg16": lambda: bayer("gbrg"),
    "bayer_grbg16": lambda: bayer("grbg"),
}


def build(encoding: str, padding: int = 0, is_bigendian: int = 0) -> Image:
    """Return a message whose padding and low bytes are noise."""
    planes = REFERENCES[encoding]().planes
    if "16" in encoding:
        planes = [widen(plane, is_bigendian) for plane in planes]
    step = planes[0].shape[1] + padding
    # NV24: a row of the second plane is twice as long, and so is its padding.
    steps = [step * (plane.shape[1] // planes[0].shape[1]) for plane in planes]
    padded = [pad(plane, length) for plane, length in zip(planes, steps, strict=True)]
    message = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=step)
    message.is_bigendian = is_bigendian
    message.data.frombytes(b"".join(plane.tobytes() for plane in padded))
    return message


def widen(plane: Bytes, is_bigendian: int) -> Bytes:
    values = plane.astype(np.uint16) << 8 | noise(*plane.shape, seed=2)
    return values.astype(">u2" if is_bigendian else "<u2").view(np.uint8)


def pad(plane: Bytes, length: int) -> Bytes:
    return np.hstack([plane, noise(len(plane), length - plane.shape[1], seed=3)])
