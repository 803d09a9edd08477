"""The protocol of filters: options that open a filter, and its verdict on each face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from fsb_perception.options import Options
from fsb_training.datasets.faceset import FaceSet


class Verdict(NamedTuple):
    """The decision on one face.

    Attributes:
        keep: the face is learned from.
        reason: why it is left out, or why it could not be judged; "" for none.
    """

    keep: bool
    reason: str = ""


KEEP = Verdict(True)


class Filter(Protocol):
    """Decides which faces are learned from."""

    def judge(self, faces: FaceSet) -> Sequence[Verdict] | None:
        """Return a verdict for each face; None if the filter does not apply to this data set."""
        ...


class FilterConfig(Options, ABC):
    """Options of one filter, which is off by default."""

    @abstractmethod
    def open(self, root: Path, datasets: Collection[str]) -> Filter | None:
        """Return the filter, ready to judge; None if it is off.

        Args:
            root: the data root.
            datasets: names of the data sets that are learned from.

        Raises:
            UnknownNameError, OptionError: an option has a wrong value.
            DatasetError: a file that it needs is absent or malformed; names path and line.
        """
