"""What every filter has: options that open it, and a verdict for each face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from fsb_perception.options import Options
from fsb_training.datasets.faceset import FaceSet


class Verdict(NamedTuple):
    """Whether a face is learned from, and why, or why it could not be judged; "" goes unsaid."""

    keep: bool
    reason: str = ""


KEEP = Verdict(True)


class Filter(Protocol):
    """Says which faces are learned from."""

    def judge(self, faces: FaceSet) -> Sequence[Verdict] | None:
        """A verdict for each face; None if the filter has no say on this data set."""
        ...


class FilterConfig(Options, ABC):
    """Options of one filter; as they stand by default, it is off."""

    @abstractmethod
    def open(self, root: Path, datasets: Collection[str]) -> Filter | None:
        """The filter, ready to judge; None if it is off.

        Args:
            root: the data root.
            datasets: names of what is learned from.

        Raises:
            UnknownNameError, OptionError: an option that cannot be.
            DatasetError: a file that it needs is not there, or malformed; names path and line.
        """
