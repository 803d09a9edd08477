"""The readability of a face: five measures, the reasons against it, and one score.

The score is the product of five factors, one for each measure. A factor is 0 at its worst, 1 where
more would not help, and linear between:

    factor        0 at                       1 from
    size          0 px                       good_size
    sharpness     0                          good_sharpness
    brightness    0                          1.5 min_brightness
    frontality    yaw of 90 degrees          yaw of half max_yaw
    inside        all of the box outside     all of the box inside the image

The defaults come from 400 faces of FairFace at 112 px: sharpness has its 5th percentile at 29 and
its median at 179; a blur of 1.5 px brings that to 14. One in a hundred is darker than 0.13.

An unknown measure (the pose of a face without landmarks) takes no part. The score is a product
and not a mean, since one bad measure is enough to make a face unreadable.

The OCCLUDED flag is never set, since no measure here detects a hand or a mask: the detector's score
falls as much with size and blur, and behind an obstacle the detector guesses the five landmarks.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from fsb_perception.options import Options, option
from fsb_perception.types import Face, Image, Quality, QualityFlag

_NAN3 = (math.nan, math.nan, math.nan)
_SHARPNESS_SIDE = 112  # px

# Right eye, left eye, nose tip, right and left mouth corner of MediaPipe's canonical face model
# (canonical_face_model.obj, vertices 33/133, 362/263, 1, 61, 291; an eye is the middle between its
# corners), in cm, turned into OpenCV's axes: x to the subject's left, y down, z into the head.
_FACE_MODEL_CM = np.array(
    [
        [-3.151146, -2.624618, -3.465665],
        [3.151146, -2.624618, -3.465665],
        [0.0, 1.126865, -7.475604],
        [-2.456206, 4.342621, -4.283884],
        [2.456206, 4.342621, -4.283884],
    ]
)


class QualityConfig(Options):
    """Limits of a readable face.

    >>> QualityConfig().min_size
    32.0
    """

    min_size: float = option(
        32.0, "a box with a shorter side is flagged SMALL", unit="px", ge=0.0, le=1000.0, live=True
    )
    good_size: float = option(
        64.0, "larger boxes are not easier to read", unit="px", ge=1.0, le=2000.0, live=True
    )
    min_sharpness: float = option(
        15.0, "a lower Laplacian variance is flagged BLURRED", ge=0.0, le=100000.0, live=True
    )
    good_sharpness: float = option(
        30.0, "sharper faces are not easier to read", ge=0.001, le=100000.0, live=True
    )
    min_brightness: float = option(
        0.15, "a lower mean luma is flagged DARK", ge=0.001, le=0.5, live=True
    )
    max_yaw: float = option(
        0.7, "a head turned further is flagged PROFILE", unit="rad", ge=0.1, le=1.5, live=True
    )
    max_outside: float = option(
        0.1,
        "a larger share of the box outside the image is flagged TRUNCATED",
        ge=0.0,
        le=1.0,
        live=True,
    )


def measure(image: Image, aligned: Image, face: Face, config: QualityConfig) -> Quality:
    """Measure one face.

    Args:
        image: uint8 BGR (height, width, 3), in which ``face`` was detected.
        aligned: uint8 BGR (size, size, 3), the same face as the encoder reads it.
        face: in pixels of ``image``.
        config: the limits.

    >>> dark = np.zeros((480, 640, 3), np.uint8)
    >>> face = Face(np.array([100, 80, 200, 210]), 0.9)
    >>> measure(dark, dark[80:192, 100:212], face, QualityConfig()).flags
    <QualityFlag.BLURRED|DARK: 18>
    """
    height, width = image.shape[:2]
    luma = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2GRAY), np.uint8)
    sharpness = _sharpness(luma)
    brightness = float(luma.mean()) / 255.0
    side = float(min(face.box_xyxy[2:] - face.box_xyxy[:2]))
    outside = outside_share(face, width, height)
    rpy = head_rpy(face, width, height)
    yaw = abs(rpy[2])  # NaN compares false, so an unknown pose raises no flag
    flags = (
        (QualityFlag.SMALL if side < config.min_size else QualityFlag(0))
        | (QualityFlag.BLURRED if sharpness < config.min_sharpness else QualityFlag(0))
        | (QualityFlag.PROFILE if yaw > config.max_yaw else QualityFlag(0))
        | (QualityFlag.TRUNCATED if outside > config.max_outside else QualityFlag(0))
        | (QualityFlag.DARK if brightness < config.min_brightness else QualityFlag(0))
    )
    factors = (
        side / config.good_size,
        sharpness / config.good_sharpness,
        brightness / (1.5 * config.min_brightness),
        1.0 if math.isnan(yaw) else (math.pi / 2 - yaw) / (math.pi / 2 - config.max_yaw / 2),
        1.0 - outside,
    )
    score = math.prod(min(1.0, max(0.0, factor)) for factor in factors)
    return Quality(score, flags, sharpness, brightness, rpy)


def _sharpness(luma: Image) -> float:
    # At one size, so that the limits have one meaning for all bundles.
    if luma.shape != (_SHARPNESS_SIDE, _SHARPNESS_SIDE):
        size = (_SHARPNESS_SIDE, _SHARPNESS_SIDE)
        luma = np.asarray(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), np.uint8)
    return float(cv2.Laplacian(luma, cv2.CV_32F).var())


def outside_share(face: Face, width: int, height: int) -> float:
    """Return the share of the box's area outside an image of width x height pixels, in [0, 1].

    >>> outside_share(Face(np.array([-10, 0, 10, 20]), 0.9), 640, 480)
    0.5
    """
    left, top, right, bottom = (float(edge) for edge in face.box_xyxy)
    inside_width = max(0.0, min(right, width) - max(left, 0.0))
    inside_height = max(0.0, min(bottom, height) - max(top, 0.0))
    return 1.0 - inside_width * inside_height / ((right - left) * (bottom - top))


def head_rpy(face: Face, width: int, height: int) -> tuple[float, float, float]:
    """Estimate roll, pitch and yaw of the head in radians, from five landmarks and a generic face.

    The axes are those of REP 103 fixed in the head: x out of the nose, y out of the left ear, z up.
    All angles are zero for a head that faces the camera, at any place in the picture. Roll is
    positive if the right ear goes down, pitch if the chin nears the chest, yaw if the head turns to
    its own left, the right side of the picture. The rotation is Rz(yaw) Ry(pitch) Rx(roll).

    The model of the camera is a pinhole with a focal length of the longer side of the image
    (53 degrees), and that of the face is average: expect errors of some ten degrees, largest in
    pitch.

    Returns:
        The three angles; three times NaN if the landmarks are unknown or allow no pose.
    """
    if not face.has_landmarks:
        return _NAN3
    focal = float(max(width, height))
    points = face.landmarks_xy.astype(np.float64)
    # The optical axis goes through the face itself, so the pose is relative to the line of sight.
    x, y = points.mean(axis=0)
    camera = np.array([[focal, 0, x], [0, focal, y], [0, 0, 1]])
    try:
        solved, turn, _ = cv2.solvePnP(
            _FACE_MODEL_CM, points, camera, None, flags=cv2.SOLVEPNP_SQPNP
        )
    except cv2.error:  # five landmarks on one spot
        return _NAN3
    if not solved or not np.isfinite(turn).all():
        return _NAN3
    return _rpy(cv2.Rodrigues(turn)[0])


def _rpy(rotation: np.ndarray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw of a rotation in OpenCV's axes of the face model."""
    # Head x (forward) is -z of the model, y (left) is x, z (up) is -y.
    axes = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    r = axes @ rotation @ axes.T
    roll = math.atan2(r[2, 1], r[2, 2])
    pitch = math.asin(max(-1.0, min(1.0, -r[2, 0])))
    yaw = math.atan2(r[1, 0], r[0, 0])
    return roll, pitch, yaw
