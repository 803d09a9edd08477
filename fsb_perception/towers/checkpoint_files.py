"""Published files: found in the model hub's cache, or fetched from it on request; and read."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.errors import FsbError

if TYPE_CHECKING:
    from torch import Tensor


class WeightsError(FsbError):
    """Weights or a tokenizer that cannot be had, or do not fit; says what is wanted and where."""


def hub_file(repository: str, name: str, allow_download: bool = False) -> Path:
    """A file of a repository on the model hub, from its cache on this machine or from there.

    Args:
        repository: such as ``timm/PE-Core-L-14-336``.
        name: of the file in it.
        allow_download: without it no network is touched.

    Raises:
        WeightsError: it is not in the cache, and may or could not be downloaded.
    """
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, name, local_files_only=not allow_download))
    except Exception as error:  # the library's errors and those of its network share no base
        fault = error if allow_download else None
        raise absent(name, repository, [name], fault) from None


def absent(
    what: str, repository: str, names: Sequence[str], fault: Exception | None
) -> WeightsError:
    """The error of files that are not there, with how to get them by hand.

    Args:
        what: is missing.
        repository: on the model hub.
        names: of its files that are wanted.
        fault: why they could not be downloaded; None if that was not allowed.
    """
    state, other = "is not on this machine", "; or allow the download"
    if fault:
        reason = " ".join(str(fault).split()).rstrip(".")
        state, other = f"could not be downloaded: {reason}", ""
    return WeightsError(
        f"{what} of {repository} {state}. Where there is a network run `hf download {repository} "
        f"{' '.join(names)} --local-dir FOLDER` and give that folder as the source{other}."
    )


def read_checkpoint(path: Path) -> object:
    """What a file of weights holds, on the CPU.

    Tensors are mapped from the file: what is not used is never read. No code in it is run.

    Raises:
        WeightsError: its name is none of a checkpoint, it is damaged, or holds more than tensors.
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


def _read_torch(path: Path) -> object:
    import torch

    mapped = zipfile.is_zipfile(path)  # what torch wrote before 1.6 is not
    try:
        return torch.load(path, "cpu", weights_only=True, mmap=mapped)
    except Exception:  # torch would explain how to run the code in it
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
