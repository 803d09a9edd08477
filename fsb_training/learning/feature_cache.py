"""A cache on disk of a frozen prefix's activations, for every view of every picture.

    data.cache/prefix/NAME-KEY/view-000.npy     (faces, ...) float16 or float32, one file a view

The key is a hash of all that the numbers depend on: the prefix and its weights, preprocessing,
augmentation, `data.view_seed`, the faces. It leaves out adapter, heads, optimiser, the training's
seed and the number of views: runs of a comparison read the same files, and a run with more views
adds some. A file is whole or absent, so a stop costs one view at most, and it ends with a checksum:
a damaged one is made again. The activations are computed in float32.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from fsb_perception.alignment import Aligner
from fsb_perception.files import free_bytes
from fsb_perception.progress import SILENT, Bar, Progress
from fsb_perception.sealed import is_intact, write_sealed
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.types import Floats
from fsb_training.data.batches import Activations, views_of
from fsb_training.data.faces import Source
from fsb_training.errors import TrainingError
from fsb_training.learning.pixels import normalise
from fsb_training.learning.prefix import Prefix
from fsb_training.locks import locked
from fsb_training.recipe import Recipe

_log = logging.getLogger(__name__)
_VERSION = 1  # of the layout and of what is computed
_BATCH = 64
_DTYPES: Mapping[str, np.dtype[np.floating]] = {
    "fp16": np.dtype(np.float16),
    "fp32": np.dtype(np.float32),
}


@dataclass(frozen=True)
class _Views:
    """The cached views of one source at one picture size: their folder, shape and number type."""

    source: Source
    size: int
    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[np.floating]

    def path(self, view: int) -> Path:
        return self.folder / f"view-{view:03}.npy"

    def is_whole(self, view: int) -> bool:
        """Return whether a view's file is there and as it was written."""
        path = self.path(view)
        if not path.is_file():
            return False
        try:
            expected = (len(self.source), *self.shape)
            whole = np.load(path, mmap_mode="r").shape == expected and is_intact(path)
        except (ValueError, EOFError):  # cut short, or a damaged header
            whole = False
        if not whole:
            _log.warning("%s is damaged and made again", path)
        return whole

    @property
    def bytes(self) -> int:
        """The size of one view's file without its header."""
        return len(self.source) * int(np.prod(self.shape)) * self.dtype.itemsize


def cached(
    prefix: Prefix, recipe: Recipe, sources: Sequence[Source], progress: Progress = SILENT
) -> Activations:
    """Return the activations of all views of ``sources``, and compute those not on disk yet.

    Args:
        prefix: of the run's encoder.
        recipe: with `data.views` of 1 or more.
        sources: the faces of the training split.
        progress: counts the activations that are computed.

    Raises:
        TrainingError: the disk has no room for them, or a value is out of float16's range.
    """
    folder = Path(recipe.data.cache) / "prefix"
    folder.mkdir(parents=True, exist_ok=True)
    sets, start = _sets(prefix, recipe, sources, folder), time.monotonic()
    with locked(folder):
        computed = _complete(sets, prefix, recipe, folder, progress)
    views = range(recipe.data.views)
    size = sum(part.bytes for part in sets) * len(views)
    _log.info(
        "%s does not learn: %d views of %d pictures, %s MB in %s, %s",
        prefix.name, len(views), sum(map(len, sources)), f"{size / 1e6:,.1f}", folder,
        f"{computed:,} made in {time.monotonic() - start:.0f} s" if computed else "found there",
    )  # fmt: skip
    return {
        (part.source.faces.name, part.size): [np.load(part.path(v), mmap_mode="r") for v in views]
        for part in sets
    }


def _complete(
    sets: Sequence[_Views], prefix: Prefix, recipe: Recipe, folder: Path, progress: Progress
) -> int:
    """Compute the activations that are not on disk yet; return their number."""
    views = range(recipe.data.views)
    missing = [(part, view) for part in sets for view in views if not part.is_whole(view)]
    _make_room(folder, sum(part.bytes for part, _ in missing))
    total = sum(len(part.source) for part, _ in missing)
    if missing:
        with progress.bar(f"frozen {prefix.name}", total) as bar:
            for part, view in missing:
                _write(part, view, prefix, recipe, bar)
    return total


def _make_room(folder: Path, needed: int) -> None:
    if needed > (free := free_bytes(folder)):
        raise TrainingError(
            f"{folder}: the activations of the frozen part take {needed:,} bytes, and {free:,} are "
            "free: make room, put data.cache elsewhere, or lower data.views (0 caches nothing)"
        )
    if needed:
        _log.info("writing %s MB of activations to %s", f"{needed / 1e6:,.1f}", folder)


def _sets(prefix: Prefix, recipe: Recipe, sources: Sequence[Source], folder: Path) -> list[_Views]:
    dtype = _DTYPES[recipe.data.view_precision]
    device, weights = next(prefix.tower.parameters()).device, prefix.fingerprint()
    sets = []
    for size in sorted(set(recipe.sizes)):
        shape = prefix.run(torch.zeros(1, 3, size, size, device=device)).shape[1:]
        settings = f"{_VERSION} {weights} {_circumstances(recipe, size)}"
        for source in sources:
            place = folder / f"{source.faces.name}-{_key(settings, source)}"
            sets.append(_Views(source, size, place, tuple(shape), dtype))
    return sets


def _key(settings: str, source: Source) -> str:
    key = hashlib.sha256("\n".join([settings, source.faces.name, *source.faces.files]).encode())
    store = source.store
    for column in (store.shapes, store.boxes, store.landmarks):
        key.update(column[source.rows].tobytes())
    return key.hexdigest()[:16]


def _circumstances(recipe: Recipe, size: int) -> str:
    row, data = BACKBONES[recipe.backbone], recipe.data
    return repr(
        (recipe.backbone, size, recipe.alignment, row.mean, row.std, data.view_seed,
         data.view_precision, recipe.augmentation.model_dump_json())
    )  # fmt: skip


def _write(part: _Views, view: int, prefix: Prefix, recipe: Recipe, bar: Bar) -> None:
    part.folder.mkdir(exist_ok=True)
    shape = (len(part.source), *part.shape)

    def write(file: IO[bytes]) -> None:
        # Not a memory map: on a full disk that ends the process, while a write raises an error.
        header = {"descr": part.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in _computed(part, view, prefix, recipe):
            file.write(_stored(rows, part.dtype).tobytes())
            bar.advance(len(rows))

    write_sealed(part.path(view), write)


def _stored(rows: Floats, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    with np.errstate(over="ignore"):
        stored = rows.astype(dtype)
    if not np.isfinite(stored).all():
        raise TrainingError(
            f"an activation of the frozen part is {abs(rows).max():.3g}, out of {dtype}'s range: "
            "set data.view_precision=fp32"
        )
    return stored


def _computed(part: _Views, view: int, prefix: Prefix, recipe: Recipe) -> Iterator[Floats]:
    row, device = BACKBONES[recipe.backbone], next(prefix.tower.parameters()).device
    for pictures in _ahead(_Chunks(part, view, recipe)):
        pixels = normalise(pictures.to(device), row.mean, row.std)
        rows = prefix.run(pixels.contiguous(memory_format=torch.channels_last))
        yield rows.float().cpu().numpy()


class _Chunks(Dataset[torch.Tensor]):
    """One view of a source's pictures, `_BATCH` at a time: uint8 (n, 3, s, s), BGR."""

    def __init__(self, part: _Views, view: int, recipe: Recipe) -> None:
        self._views = views_of(part.source, recipe)
        self._view = view
        self._aligner = Aligner(part.size, recipe.alignment)

    def __len__(self) -> int:
        return math.ceil(len(self._views) / _BATCH)

    def __getitem__(self, chunk: int) -> torch.Tensor:
        rows = range(len(self._views))[chunk * _BATCH : (chunk + 1) * _BATCH]
        pictures = [self._views.picture(row, self._view, self._aligner) for row in rows]
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def _ahead(chunks: _Chunks) -> DataLoader[torch.Tensor]:
    return DataLoader(
        chunks, batch_size=None, num_workers=1, prefetch_factor=4,
        worker_init_fn=lambda _: cv2.setNumThreads(1), multiprocessing_context="fork",
    )  # fmt: skip
