"""From aligned faces to the pixels of a tower; the settings are part of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fsb_perception.alignment import Aligner, AlignmentMethod
from fsb_perception.types import Floats, Image

MIN_SIDE, MAX_SIDE = 16, 1024
"""Smallest and largest side of an aligned face, in pixels."""

_Share = Annotated[float, Field(ge=0.0, le=1.0)]
# Pixels are divided by it, so that a zero gives no number.
_Deviation = Annotated[float, Field(ge=1e-3, le=1.0)]


class Preprocessing(BaseModel):
    """Settings that turn a face into the input of a tower.

    Attributes:
        size: side of the aligned face in pixels.
        alignment: "landmarks" or "box"; see `fsb_perception.alignment`.
        mean: of the RGB channels, in [0, 1].
        std: of the RGB channels, in [0.001, 1].

    >>> Preprocessing(size=80).aligner.size
    80
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int = Field(ge=MIN_SIDE, le=MAX_SIDE)
    alignment: AlignmentMethod = "landmarks"
    mean: tuple[_Share, _Share, _Share] = (0.5, 0.5, 0.5)
    std: tuple[_Deviation, _Deviation, _Deviation] = (0.5, 0.5, 0.5)

    @property
    def aligner(self) -> Aligner:
        """The aligner that cuts faces as the weights expect them."""
        return Aligner(self.size, self.alignment)

    def pixels(self, aligned: Sequence[Image]) -> Floats:
        """Return aligned faces as one batch.

        Args:
            aligned: uint8 BGR pictures of one shape (height, width, 3).

        Returns:
            float32 (n, 3, height, width), RGB, minus the mean and divided by the deviation.
        """
        rgb = np.stack(aligned)[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32, order="C")
        shift, scale = (
            np.array(values, np.float32).reshape(3, 1, 1) * np.float32(255)
            for values in (self.mean, self.std)
        )
        rgb -= shift
        rgb /= scale
        return rgb
