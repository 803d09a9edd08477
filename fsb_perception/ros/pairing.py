"""Brings each answer of the node together with the image it was made from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from fsb_perception.ros.messages import to_nanoseconds

_IMAGES_KEPT = 8  # at 30 frames a second, older than any answer still to come


class Pairing:
    """Keeps the newest images until the answer with the same stamp comes, whichever is first."""

    def __init__(self) -> None:
        self._images: OrderedDict[int, Any] = OrderedDict()
        self._answers: OrderedDict[int, Any] = OrderedDict()

    def add_image(self, message: Any) -> tuple[Any, Any] | None:
        """The pair (image, answer) that this image completes, if any."""
        return self._add(message, self._images, self._answers)

    def add_answer(self, message: Any) -> tuple[Any, Any] | None:
        """The pair (image, answer) that this answer completes, if any."""
        pair = self._add(message, self._answers, self._images)
        return pair and (pair[1], pair[0])

    @staticmethod
    def _add(
        message: Any, own: OrderedDict[int, Any], others: OrderedDict[int, Any]
    ) -> tuple[Any, Any] | None:
        stamp = to_nanoseconds(message.header.stamp)
        if stamp in others:
            return message, others.pop(stamp)
        own[stamp] = message
        if len(own) > _IMAGES_KEPT:
            own.popitem(last=False)
        return None
