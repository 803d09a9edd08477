"""A picture of a head from its mesh: one ray a pixel, a few lamps, and colours by place.

The mesh has no hair, and one colour of skin. Hair, brows and irises, which detectors and encoders
need, are painted on. A point's colour follows from its place on the face at rest, so that the paint
moves with the expression. Embree traces the rays on the CPU: no display or GPU is needed, and every
run gives the same picture.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fsb_perception.types import Image

Bgr = tuple[int, int, int]
Doubles = NDArray[np.float64]

_WIDTH, _HEIGHT = 300, 360
_FINER = 2  # rays a pixel and direction: smooth edges
_AWAY = 1.2  # m from the camera to the eyes
_ACROSS = 4.4  # of the distance between the eyes: the width that the picture shows
_BELOW = 0.13  # of that width: the middle of the picture below the eyes
_NEAR = 0.3  # m around the eyes: the part of the body that is drawn
_WALL: Bgr = (186, 190, 182)
_WHITE: Bgr = (215, 222, 225)
_DARK: Bgr = (25, 35, 50)
_IRIS = 0.87  # cosine of its half angle, seen from the middle of the eye
_EYE = 0.025  # m from its centre: further away lies the other eye
_FRONT = 0.4  # distances between the eyes: further back is no brow
_AMBIENT = 0.42
_LAMPS = (((-0.5, -0.75, 0.45), 0.45), ((0.65, -0.75, 0.1), 0.22))  # direction, strength


@dataclass(frozen=True, eq=False)
class Head:
    """A mesh in metres: x to its left, y to its back, z up.

    Attributes:
        vertices: (N, 3), with an expression.
        rest: (N, 3), the same vertices without it.
        faces: (M, 3), indices of vertices.
        eyes: (2, 3), their centres.
        eyeball: (N,), True for the vertices of the eyeballs.
    """

    vertices: Doubles
    rest: Doubles
    faces: NDArray[np.int64]
    eyes: Doubles
    eyeball: NDArray[np.bool_]


def draw(head: Head, skin: Bgr, hair: Bgr) -> Image:
    """Draw the head from the front: uint8 BGR (360, 300, 3)."""
    trimesh: Any = importlib.import_module("trimesh")
    whole = trimesh.Trimesh(head.vertices, head.faces, process=False)
    near = (np.abs(head.vertices - head.eyes.mean(0)) < _NEAR).all(1)[head.faces].all(1)
    mesh = trimesh.Trimesh(head.vertices, head.faces[near], process=False)
    origins, directions = _rays(head)
    at, ray, triangle = mesh.ray.intersects_location(origins, directions, multiple_hits=False)
    corners = mesh.faces[triangle]
    weights = trimesh.triangles.points_to_barycentric(head.vertices[corners], at)[..., None]
    normals, rest = ((v[corners] * weights).sum(1) for v in (whole.vertex_normals, head.rest))
    picture = np.tile(np.array(_WALL, float), (len(directions), 1))
    colours = _skin_and_hair(head, rest, skin, hair)
    _paint_eyes(colours, head, at, head.eyeball[corners].all(1))
    picture[ray] = colours * _light(normals)[:, None]
    fine = picture.clip(0, 255).astype(np.uint8).reshape(_HEIGHT * _FINER, _WIDTH * _FINER, 3)
    return np.asarray(cv2.resize(fine, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _rays(head: Head) -> tuple[Doubles, Doubles]:
    """Return the origin and the direction of each ray, row by row."""
    across = _ACROSS * float(np.linalg.norm(head.eyes[0] - head.eyes[1]))
    width, height = _WIDTH * _FINER, _HEIGHT * _FINER
    x = (np.arange(width) + 0.5 - width / 2) / width * across
    z = -(np.arange(height) + 0.5 - height / 2) / width * across
    grid = np.stack(np.meshgrid(x, [_AWAY], z, indexing="ij"), -1)
    directions = grid.reshape(width, height, 3).transpose(1, 0, 2).reshape(-1, 3)
    camera = head.eyes.mean(0) - (0, _AWAY, _BELOW * across)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    return np.broadcast_to(camera, directions.shape), directions / lengths


def _light(normals: Doubles) -> Doubles:
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    lamps = ((np.array(lamp) / np.linalg.norm(lamp), strength) for lamp, strength in _LAMPS)
    lit = [strength * (normals @ direction).clip(0) for direction, strength in lamps]
    return np.asarray(_AMBIENT + np.sum(lit, axis=0))


def _skin_and_hair(head: Head, rest: Doubles, skin: Bgr, hair: Bgr) -> Doubles:
    """Return the BGR of points of the face at rest; lengths are in distances between the eyes."""
    unit = np.linalg.norm(head.eyes[0] - head.eyes[1])
    x, y, z = ((rest - head.eyes.mean(0)) / unit).T
    colours = np.tile(np.array(skin, float), (len(rest), 1))
    hairline = 0.9 - 0.1 * np.cos(2.5 * x) - 0.8 * (y - 0.55).clip(0)  # lower towards the ears
    _paint(colours, _smooth(z - hairline), hair)
    aside = np.abs(x) - 0.55
    brow = _smooth(0.045 - np.abs(z - 0.36 + 0.25 * aside**2), 0.03)
    brow *= _smooth(0.32 - np.abs(aside)) * (y < _FRONT)
    _paint(colours, brow, hair)
    return colours


def _paint_eyes(colours: Doubles, head: Head, at: Doubles, eyeball: NDArray[np.bool_]) -> None:
    _paint(colours, eyeball.astype(float), _WHITE)
    for eye in head.eyes:
        off = at - eye
        ahead = -off[:, 1] / np.linalg.norm(off, axis=1)
        close = np.linalg.norm(off, axis=1) < _EYE
        _paint(colours, _smooth(ahead - _IRIS, 0.03) * (eyeball & close), _DARK)


def _paint(colours: Doubles, weight: Doubles, colour: Bgr) -> None:
    colours += weight[:, None] * (np.array(colour, float) - colours)


def _smooth(inside: Doubles, edge: float = 0.06) -> Doubles:
    """Return 0 outside, where ``inside`` is negative, 1 inside, and between over an edge."""
    return np.asarray((inside / edge + 0.5).clip(0, 1))
