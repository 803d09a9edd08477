"""Pairs of an image and the node's answer to it, matched by stamp."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeAlias, TypeVar

from sensor_msgs.msg import Image

from fsb_perception.msg import FaceAttributesArray
from fsb_perception.ros.messages import to_nanoseconds

Pair: TypeAlias = tuple[Image, FaceAttributesArray]
T = TypeVar("T")

_KEPT = 8  # messages; at 30 frames a second an answer comes before its image is this old


class Pairing:
    """Keeps the newest images and answers until the message with the same stamp comes."""

    def __init__(self) -> None:
        self._images: OrderedDict[int, Image] = OrderedDict()
        self._answers: OrderedDict[int, FaceAttributesArray] = OrderedDict()

    def add_image(self, image: Image) -> Pair | None:
        """Add an image; return the pair that it completes, if any."""
        stamp = to_nanoseconds(image.header.stamp)
        if (answer := self._answers.pop(stamp, None)) is not None:
            return image, answer
        _keep(self._images, stamp, image)
        return None

    def add_answer(self, answer: FaceAttributesArray) -> Pair | None:
        """Add an answer; return the pair that it completes, if any."""
        stamp = to_nanoseconds(answer.header.stamp)
        if (image := self._images.pop(stamp, None)) is not None:
            return image, answer
        _keep(self._answers, stamp, answer)
        return None


def _keep(messages: OrderedDict[int, T], stamp: int, message: T) -> None:
    messages[stamp] = message
    if len(messages) > _KEPT:
        messages.popitem(last=False)
