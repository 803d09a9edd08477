"""Files that end with the sha256 of their content: a damaged one is known before it is used.

    content | "fsb-sha256:" and 64 hexadecimal digits

The readers of PyTorch's and NumPy's formats stop before the seal, so other programs read such files
too. A file without a seal is older than this, and taken as it is.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO

from fsb_perception.files import Write, write_whole

_MARK = b"fsb-sha256:"
_SEAL = len(_MARK) + 64  # bytes
_BLOCK = 1 << 20


def write_sealed(path: Path, write: Write) -> None:
    """Write a file whole or not at all, as `write_whole`, and seal it.

    Args:
        path: of the file; its folder must exist.
        write: writes the content to an open file.

    Raises:
        FileError: the file cannot be written.
    """

    def write_and_seal(file: IO[bytes]) -> None:
        write(file)
        file.seek(0)
        digest = _digest(file, file.seek(0, os.SEEK_END))
        file.seek(0, os.SEEK_END)
        file.write(_MARK + digest.encode())

    write_whole(path, write_and_seal)


def is_intact(path: Path) -> bool:
    """Return whether a file's content is that of its seal; True for one without a seal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "x"
    ...     write_sealed(path, lambda file: file.write(b"content"))
    ...     before = is_intact(path)
    ...     _ = path.write_bytes(b"C" + path.read_bytes()[1:])
    ...     before, is_intact(path)
    (True, False)
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END) - _SEAL
        if size < 0:
            return True
        file.seek(size)
        seal = file.read()
        return not seal.startswith(_MARK) or seal[len(_MARK) :] == _digest(file, size).encode()


def _digest(file: IO[bytes], size: int) -> str:
    """Return the sha256 of a file's first ``size`` bytes."""
    file.seek(0)
    digest, left = hashlib.sha256(), size
    while left and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()
