"""The split of all experiments: to pretrain, to adapt, to test; near-duplicates stay together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsb_perception.options import OptionError
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.faces import Source, open_faces
from fsb_training.data.splits import draws
from fsb_training.datasets import load_training
from fsb_training.recipe_options import DataOptions

Partition = dict[str, list[Source]]
"""Sources by part, one for each data set."""


def partition(
    options: DataOptions,
    names: Sequence[str],
    shares: Mapping[str, float],
    progress: Progress = SILENT,
) -> Partition:
    """Split the faces of data sets into parts that share no picture.

    A part holds the faces whose draw (`fsb_training.data.splits.draws`) falls into its stretch of
    [0, 1), so that making the last part smaller moves no face into another.

    Args:
        options: folders of the data and their cache, and the seed of the split.
        names: names of data sets.
        shares: share of each part, in order; they sum to at most 1, and the rest is not used.
        progress: shows the pictures in which faces are detected.

    Returns:
        Sources by part; a data set without a face in a part is not in it.

    Raises:
        OptionError: a share is not above 0, or the shares sum to more than 1.
        DatasetError: a data set is absent or cannot be read.
    """
    if min(shares.values()) <= 0 or sum(shares.values()) > 1 + 1e-9:
        raise OptionError(f"parts: got {dict(shares)}; each must be above 0, their sum at most 1")
    parts: Partition = {part: [] for part in shares}
    for name in names:
        for part, source in _split_one(options, name, shares, progress).items():
            if len(source):
                parts[part].append(source)
    return parts


def _split_one(
    options: DataOptions, name: str, shares: Mapping[str, float], progress: Progress
) -> dict[str, Source]:
    source = open_faces(load_training(Path(options.root), name), Path(options.cache), progress)
    numbers = draws(source.faces, source.store, options.split_seed, source.rows)
    ends = np.cumsum(list(shares.values()))
    part_numbers = np.searchsorted(ends, numbers, "right")
    return {
        part: source.subset(np.flatnonzero(part_numbers == index), part)
        for index, part in enumerate(shares)
    }


def first(sources: Sequence[Source], count: int) -> list[Source]:
    """Take about ``count`` faces; each data set keeps its share, evenly spread over its files.

    Args:
        sources: the sources of one part.
        count: number of faces; all of them are taken if there are fewer.
    """
    total = sum(map(len, sources))
    if count >= total:
        return list(sources)
    return [
        source.subset(_spread(len(source), round(count * len(source) / total)))
        for source in sources
    ]


def _spread(length: int, count: int) -> NDArray[np.int64]:
    return np.linspace(0, length, count, endpoint=False).astype(np.int64)
