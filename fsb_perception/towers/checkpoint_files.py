"""Published files: find them in the model hub's cache, fetch them on request, and read them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception import downloads
from fsb_perception.errors import FsbError

if TYPE_CHECKING:
    from torch import Tensor


_MOST_BYTES = 16 << 30  # the largest published tower has 7.6 GB


class WeightsError(FsbError):
    """Weights or a tokenizer that are missing or do not fit; the message says how to get them."""


def hub_file(repository: str, name: str, allow_download: bool = False) -> Path:
    """Return the path of a file of the model hub in the hub's cache on this machine.

    Args:
        repository: such as ``timm/PE-Core-L-14-336``.
        name: of the file in it.
        allow_download: fetch the file if the cache lacks it; without it no network is used.

    Raises:
        WeightsError: the file is not in the cache, and the download is not allowed or failed.
    """
    if kept := downloads.cached(repository, name):
        return kept
    if not allow_download:
        raise absent(name, repository, [name], None)
    try:
        return _download(repository, name)
    except Exception as error:  # the library's errors and those of its network share no base
        raise absent(name, repository, [name], error) from None


def _download(repository: str, name: str) -> Path:
    listing = downloads.list_files(repository)
    size = listing.sizes.get(name)
    if size is None or size > _MOST_BYTES:
        raise WeightsError(
            f"the hub lists {size or 'no'} bytes of it, up to {_MOST_BYTES:,} are due"
        )
    with downloads.scratch_folder(repository) as folder:
        downloads.download(repository, listing.commit, name, size, folder)
        path = downloads.keep(repository, listing.commit, folder) / name
    downloads.point(repository, "main", listing.commit)
    return path


def absent(
    missing: str, repository: str, names: Sequence[str], fault: Exception | None
) -> WeightsError:
    """Return an error for missing files, which says how to get them by hand.

    Args:
        missing: the files in a word, such as "the tokenizer".
        repository: on the model hub.
        names: of the files in it.
        fault: why the download failed; None if it was not allowed.
    """
    state, other = "is not on this machine", "; or allow the download"
    if fault:
        reason = " ".join(str(fault).split()).rstrip(".")
        state, other = f"could not be downloaded: {reason}", ""
    return WeightsError(
        f"{missing} of {repository} {state}. Where there is a network run `hf download "
        f"{repository} {' '.join(names)} --local-dir FOLDER` and give that folder as the "
        f"source{other}."
    )


def read_checkpoint(path: Path) -> object:
    """Read a checkpoint, on the CPU.

    Tensors are mapped from the file, so unused ones are never read. No code in the file runs.

    Raises:
        WeightsError: the ending of its name is unknown, it is damaged, or holds more than tensors.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise WeightsError(
            f"{path} is no checkpoint by its name: known endings are {', '.join(_READERS)}"
        )
    return reader(path)


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors, by name, on the CPU; unused tensors are never read from disk.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read, get it again: {error}") from None


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold NaN or an infinity."""
    return [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]


def _read_torch(path: Path) -> object:
    import torch

    mapped = zipfile.is_zipfile(path)  # files of torch before 1.6 are not
    try:
        return torch.load(path, "cpu", weights_only=True, mmap=mapped)
    except Exception:  # torch's own message explains how to run the code in it
        raise WeightsError(
            f"{path} is damaged, or holds more than tensors, which could be code: not loaded. "
            "Get it again, or save its state dict alone as .safetensors where you trust it"
        ) from None


_READERS: Mapping[str, Callable[[Path], object]] = {
    ".safetensors": read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".bin": _read_torch,
}
