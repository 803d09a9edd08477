"""The value types that all parts of FSB share; each validates itself when it is made.

Coordinates are pixels of the camera image, x to the right, y down; a box may pass the image border.
Images are ``uint8`` arrays of shape (height, width, 3) in BGR order, as in OpenCV. Stamps are whole
nanoseconds of the image's own clock, so that no conversion rounds them; 0 means never. An unknown
value is NaN or empty, never a plausible number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

UNKNOWN = "unknown"

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


class TrackState(IntEnum):
    """The state of a track; the numbers are those of ``FaceAttributes.msg``.

    >>> TrackState(2).name
    'CONFIRMED'
    """

    TENTATIVE = 1
    CONFIRMED = 2
    COASTED = 3  # not seen in this frame: the box is predicted
    ENDED = 4  # the last report of this face_id


class QualityFlag(IntFlag):
    """Reasons why a face is hard to read; the numbers are those of ``FaceAttributes.msg``.

    >>> QualityFlag.SMALL in QualityFlag(17), QualityFlag.DARK in QualityFlag(17)
    (True, True)
    """

    SMALL = 1
    BLURRED = 2
    PROFILE = 4
    TRUNCATED = 8
    DARK = 16
    OCCLUDED = 32


NO_FLAGS = QualityFlag(0)


def check_image(image: Image) -> None:
    """Raise `ValueError` unless ``image`` is a non-empty uint8 BGR array (height, width, 3)."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise ValueError(f"an image must be a uint8 array, got {kind}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must have shape (height, width, 3), got {image.shape}")


@dataclass(frozen=True, eq=False)
class Face:
    """One detected face.

    Attributes:
        box_xyxy: float32 (4,), left, top, right, bottom in pixels.
        score: the detector's own score in [0, 1].
        landmarks_xy: float32 (5, 2) in pixels: the subject's right eye, left eye, nose tip, right
            and left mouth corner; NaN where the detector gives none.

    Raises:
        ValueError: an array has another shape, the box is empty or not finite, or the score is
            outside [0, 1].

    >>> face = Face(np.array([10, 20, 90, 120]), 0.9)
    >>> face.box_xyxy.tolist(), face.has_landmarks
    ([10.0, 20.0, 90.0, 120.0], False)
    """

    box_xyxy: Floats
    score: float
    landmarks_xy: Floats = field(default_factory=lambda: np.full((5, 2), np.nan, np.float32))

    def __post_init__(self) -> None:
        box = np.asarray(self.box_xyxy, np.float32)
        landmarks = np.asarray(self.landmarks_xy, np.float32)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise ValueError(f"box_xyxy must be four finite numbers, got {self.box_xyxy}")
        if box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError(f"box_xyxy must have right > left and bottom > top, got {box}")
        if landmarks.shape != (5, 2):
            raise ValueError(f"landmarks_xy must have shape (5, 2), got {landmarks.shape}")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score must be in [0, 1], got {self.score}")
        object.__setattr__(self, "box_xyxy", box)
        object.__setattr__(self, "landmarks_xy", landmarks)

    @property
    def has_landmarks(self) -> bool:
        """True if all five landmarks are known."""
        return bool(np.isfinite(self.landmarks_xy).all())


@dataclass(frozen=True)
class Quality:
    """The readability of a face.

    Attributes:
        score: overall, in [0, 1]; 1 is best.
        flags: the reasons why it is hard to read.
        sharpness: variance of the Laplacian of the aligned face's luma, in squared grey levels.
        brightness: mean luma of the aligned face in [0, 1].
        head_rpy: roll, pitch and yaw in radians; NaN where unknown.

    >>> Quality(score=0.4, flags=QualityFlag.DARK).brightness  # not measured
    nan
    """

    score: float = 0.0
    flags: QualityFlag = NO_FLAGS
    sharpness: float = math.nan
    brightness: float = math.nan
    head_rpy: tuple[float, float, float] = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class AttributeEstimate:
    """The estimate of one task of one face. Fields as in ``AttributeEstimate.msg``.

    Attributes:
        task: name of the task.
        labels: class names in bundle order.
        label: one of ``labels``, or `UNKNOWN`.
        confidence: calibrated probability of the best class in [0, 1]; 0 before the first look.
        probabilities: smoothed over time, sum 1, one a label; empty before the first look.
        raw_label: best class of the newest look alone; `UNKNOWN` before the first look.
        raw_confidence: its probability in [0, 1].
        value: the estimate in ``unit``; NaN where the task has none.
        value_stddev: its standard deviation, same unit.
        unit: "year" or "".
        stable: the label has held for the settle time.
        since: stamp of the last change of label, in nanoseconds.
        last_look: stamp of the newest look, in nanoseconds; 0 for never.
        looks: number of looks that it is made of.

    Raises:
        ValueError: the label is not one of ``labels``, their number is not that of
            ``probabilities``, or a confidence or a probability is not finite.

    >>> estimate = AttributeEstimate("gender", ("male", "female"), "female", 0.93)
    >>> estimate.label, estimate.confidence, estimate.value
    ('female', 0.93, nan)
    """

    task: str
    labels: tuple[str, ...]
    label: str = UNKNOWN
    confidence: float = 0.0
    probabilities: tuple[float, ...] = ()
    raw_label: str = UNKNOWN
    raw_confidence: float = 0.0
    value: float = math.nan
    value_stddev: float = math.nan
    unit: str = ""
    stable: bool = False
    since: int = 0
    last_look: int = 0
    looks: int = 0

    def __post_init__(self) -> None:
        if self.label not in (*self.labels, UNKNOWN):
            raise ValueError(f"{self.task}: label {self.label!r} is not one of {self.labels}")
        if self.probabilities and len(self.probabilities) != len(self.labels):
            raise ValueError(
                f"{self.task}: got {len(self.probabilities)} probabilities, "
                f"one for each of {len(self.labels)} labels is needed"
            )
        if not math.isfinite(self.confidence + self.raw_confidence + sum(self.probabilities)):
            raise ValueError(
                f"{self.task}: confidences and probabilities must be finite, got "
                f"{self.confidence}, {self.raw_confidence} and {self.probabilities}"
            )


@dataclass(frozen=True, eq=False)
class FaceAttributes:
    """One followed face in one frame, as in ``FaceAttributes.msg``.

    Attributes:
        face_id: identifier of the track; never used again for another track.
        state: of the track in this frame.
        first_seen, last_seen: stamps of its first and newest detection, in nanoseconds.
        face: the detection; a predicted box if the state is COASTED.
        quality: of this frame's view; zero if the face was not detected in it.
        estimates: one for each task that is switched on.

    >>> face = Face(np.array([10, 20, 90, 120]), 0.9)
    >>> FaceAttributes("face_1", TrackState.TENTATIVE, 5, 5, face).estimates
    ()
    """

    face_id: str
    state: TrackState
    first_seen: int
    last_seen: int
    face: Face
    quality: Quality = Quality()
    estimates: tuple[AttributeEstimate, ...] = ()
