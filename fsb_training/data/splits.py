"""The validation split that we draw ourselves: the same at every run, near-duplicates on one side.

FER2013 and UTKFace hold the same photograph many times over. Faces whose difference hashes are
nearly equal form a group, and a group goes to one side as a whole. The hash of its first file's
name decides the side, so adding pictures moves no others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fsb_perception.types import Floats, Image
from fsb_training.data.store import FaceStore
from fsb_training.datasets.faceset import FaceSet

_BANDS = 4  # two hashes that differ in fewer bits than this agree in at least one band


def difference_hash(image: Image) -> np.uint64:
    """Return 64 bits: 1 where a pixel of the 9 x 8 grey thumbnail is brighter than the next."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    bits = (grey[:, :-1] > grey[:, 1:]).ravel()
    return np.packbits(bits).view(np.uint64)[0]


def near_duplicates(hashes: NDArray[np.uint64], max_bits: int = _BANDS - 1) -> NDArray[np.int64]:
    """Return a group number for each hash; hashes that differ in few bits share a group.

    Args:
        hashes: (n,) of `difference_hash`.
        max_bits: the most bits in which two hashes of a group differ.
    """
    links = [np.zeros((0, 2), np.int64)]
    for band in hashes.view(np.uint16).reshape(-1, _BANDS).T:
        order = np.argsort(band, kind="stable")
        edges = np.flatnonzero(np.diff(band[order])) + 1
        links += [
            link
            for run in np.split(order, edges)
            if len(run) > 1
            for link in _links(hashes, run, max_bits)
        ]
    ends = np.concatenate(links).T
    graph = coo_matrix((np.ones(ends.shape[1]), ends), shape=(len(hashes), len(hashes)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _links(
    hashes: NDArray[np.uint64], run: NDArray[np.int64], max_bits: int
) -> Iterator[NDArray[np.int64]]:
    """Yield pairs (n, 2) that connect the rows of a run which are near, each row once.

    All pairs of 2,500 still frames would be three million; a tree over them is 2,499.
    """
    rest = run
    while len(rest):
        reached, rest = [int(rest[0])], rest[1:]
        while reached and len(rest):
            row = reached.pop()
            near = np.bitwise_count(hashes[rest] ^ hashes[row]) <= max_bits
            matches = rest[near]
            yield np.stack([np.full(len(matches), row), matches], axis=1)
            reached += matches.tolist()
            rest = rest[~near]


def draws(
    faces: FaceSet, store: FaceStore, seed: int, rows: NDArray[np.int64] | None = None
) -> Floats:
    """Return the number in [0, 1) that decides each face's part, (n,); near-duplicates share it.

    Args:
        faces: a part of a data set.
        store: their pictures.
        seed: another seed draws other numbers.
        rows: where each face lies in the store; row by row by default.
    """
    stored = np.arange(len(faces)) if rows is None else rows
    hashes = np.array([difference_hash(store.image(int(row))) for row in stored], np.uint64)
    group = near_duplicates(hashes)
    _, first = np.unique(group, return_index=True)
    return np.array([_chance(faces.files[row], seed) for row in first])[group]


def split(
    faces: FaceSet,
    store: FaceStore,
    dev_share: float,
    seed: int,
    rows: NDArray[np.int64] | None = None,
) -> tuple[FaceSet, FaceSet, NDArray[np.bool_]]:
    """Split a training part into "fit" and "dev"; also return the mask of the dev rows.

    Args:
        faces: a training part.
        store: their pictures.
        dev_share: about this share goes to dev.
        seed: another seed draws another split.
        rows: where each face lies in the store; row by row by default.
    """
    in_dev = draws(faces, store, seed, rows) < dev_share
    fit, dev = np.flatnonzero(~in_dev), np.flatnonzero(in_dev)
    return faces.subset(fit, "fit"), faces.subset(dev, "dev"), in_dev


def _chance(file: str, seed: int) -> float:
    digest = hashlib.sha256(f"{seed}:{file}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
