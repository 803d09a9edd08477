"""Random changes of a picture at each visit: place, light, colour, resolution, a hidden patch.

All emotion pictures are small and grey, while a robot's camera is not. So colour, sharpness and
resolution are changed for every data set alike. Otherwise they would become clues to the label.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from fsb_perception.alignment import Aligner
from fsb_perception.types import Face, Floats, Image
from fsb_training.recipe_options import AugmentOptions


def augmented(
    image: Image, face: Face, aligner: Aligner, options: AugmentOptions, rng: Generator
) -> Image:
    """Return a random variant of the aligned face of ``image``, uint8 BGR (size, size, 3).

    Position, rotation, scale and mirroring are part of the one warp that alignment does anyway, so
    the picture is sampled once.
    """
    matrix = _jitter(aligner.size, options, rng) @ np.vstack([aligner.transform(face), [0, 0, 1]])
    size = (aligner.size, aligner.size)
    picture = cv2.warpAffine(
        image, matrix[:2], size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if rng.random() < options.blur:
        picture = _lose_resolution(picture, rng)
    picture = _relight(picture, options.light, options.tint, rng)
    if rng.random() < options.grey:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < options.erase:
        picture = _hide(picture, rng)
    return picture


def _jitter(size: int, options: AugmentOptions, rng: Generator) -> Floats:
    """Return the 3 x 3 map from the aligned face to its jittered, perhaps mirrored, place."""
    angle = np.deg2rad(rng.uniform(-options.rotation, options.rotation))
    scale = 1 + rng.uniform(-options.scale, options.scale)
    # Faces differ in proportion, and detectors in how they measure them.
    stretch = 1 + rng.uniform(-options.stretch, options.stretch)
    mirror = -1.0 if rng.random() < options.flip else 1.0
    linear = scale * np.array(
        [
            [mirror * np.cos(angle) * stretch, -mirror * np.sin(angle)],
            [np.sin(angle) * stretch, np.cos(angle)],
        ]
    )
    middle = np.array([size / 2 - 0.5] * 2)
    shift = rng.uniform(-options.shift, options.shift, 2) * size
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = middle + shift - linear @ middle
    return matrix.astype(np.float32)


def _lose_resolution(picture: Image, rng: Generator) -> Image:
    size = picture.shape[0]
    small = int(size * rng.uniform(0.3, 0.9))
    method = cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR
    shrunk = cv2.resize(picture, (small, small), interpolation=method)
    return cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR)


def _relight(picture: Image, light: float, tint: float, rng: Generator) -> Image:
    contrast = 1 + rng.uniform(-light, light)
    brightness = 255 * rng.uniform(-light, light) / 2
    tints = 1 + rng.uniform(-tint, tint, 3)
    levels = np.arange(256)
    table = (levels[:, None] - 128) * contrast * tints + 128 + brightness
    return cv2.LUT(picture, np.clip(table, 0, 255).astype(np.uint8)[None])


def _hide(picture: Image, rng: Generator) -> Image:
    """Fill a random rectangle with noise (random erasing, Zhong et al., AAAI 2020)."""
    size = picture.shape[0]
    height, width = rng.integers(size // 8, size // 2, 2)
    top, left = rng.integers(0, size - height), rng.integers(0, size - width)
    picture = picture.copy()
    picture[top : top + height, left : left + width] = rng.integers(0, 256, (height, width, 3))
    return picture
