"""Drawing of faces and their attributes onto a picture, with the annotators of ``supervision``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fsb_perception.types import (
    UNKNOWN,
    AttributeEstimate,
    FaceAttributes,
    Image,
    TrackState,
    check_image,
)

if TYPE_CHECKING:
    import supervision

# Colour of the box and of the text, by state: different in lightness too, for colour-blind users.
_COLOURS = {
    TrackState.TENTATIVE: ("#f2c14e", "#000000"),
    TrackState.CONFIRMED: ("#1b7f4b", "#ffffff"),
    TrackState.COASTED: ("#8a8f98", "#000000"),
}
_STATES = tuple(_COLOURS)

# px: sizes below are for a picture with this shorter side, and scale with it.
_REFERENCE_SIDE = 480
_TEXT_SCALE, _LEAST_TEXT_SCALE = 0.45, 0.3


def annotate(image: Image, faces: Sequence[FaceAttributes]) -> Image:
    """Draw each face's box, id and estimates onto a copy of the picture.

    A TENTATIVE face is amber, a CONFIRMED one green, a COASTED one grey; an ENDED one is not drawn.

    Args:
        image: uint8 BGR (height, width, 3).
        faces: in pixels of ``image``; boxes may pass its border.

    Returns:
        uint8 BGR of the same shape.
    """
    import supervision as sv

    check_image(image)
    drawn = [face for face in faces if face.state in _STATES]
    picture = np.array(image, order="C")
    if not drawn:
        return picture
    scale = min(image.shape[:2]) / _REFERENCE_SIDE
    detections = sv.Detections(
        xyxy=np.stack([face.face.box_xyxy for face in drawn]),
        class_id=np.array([_STATES.index(face.state) for face in drawn]),
    )
    boxes = sv.BoxAnnotator(color=_palette(0), thickness=max(1, round(2 * scale)))
    labels = sv.LabelAnnotator(
        color=_palette(0),
        text_color=_palette(1),
        text_scale=max(_LEAST_TEXT_SCALE, _TEXT_SCALE * scale),
        text_thickness=max(1, round(scale)),
        text_padding=max(2, round(4 * scale)),
        smart_position=True,  # keeps the texts of neighbours apart, and inside the picture
    )
    picture = boxes.annotate(picture, detections)
    return labels.annotate(picture, detections, labels=[caption(face) for face in drawn])


def caption(face: FaceAttributes) -> str:
    """Return the text beside a face: a line with its id, then a line for each task.

    >>> from fsb_perception.types import Face
    >>> gender = AttributeEstimate("gender", ("male", "female"), "female", 0.934)
    >>> age = AttributeEstimate("age_group", ("0-2", "3-9"))
    >>> box = Face(np.array([0, 0, 9, 9]), 0.9)
    >>> print(caption(FaceAttributes("face_7", TrackState.CONFIRMED, 1, 1, box,
    ...                              estimates=(gender, age))))
    face_7
    female 93%
    age group ?
    """
    return "\n".join([face.face_id, *(_line(estimate) for estimate in face.estimates)])


def _line(estimate: AttributeEstimate) -> str:
    if estimate.label == UNKNOWN:
        return f"{estimate.task.replace('_', ' ')} ?"
    return f"{estimate.label} {estimate.confidence:.0%}"


def _palette(index: int) -> supervision.ColorPalette:
    import supervision as sv

    return sv.ColorPalette.from_hex([colours[index] for colours in _COLOURS.values()])
