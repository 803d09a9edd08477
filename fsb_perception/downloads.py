"""Downloads from the model hub, with limits, into the cache of huggingface_hub on this machine.

Nothing that a server says becomes a path: names of files are the caller's, a commit is forty
hexadecimal digits, and no ETag is used. A file may have the bytes that the listing says and no
more, while they arrive. A server that sends too slowly, or nothing, is left after half a minute.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fsb_perception.errors import FsbError

WINDOW = 30.0
"""Seconds in which a server must send `LEAST_BYTES`, or all that is left."""
LEAST_BYTES = 1 << 16
_LONGEST_LISTING = 4 << 20  # bytes
_LONGEST_REFUSAL = 1 << 14  # bytes of an error's page that are read
_SCRATCH = ".pull-"  # begins the names of folders of unfinished downloads
_OLD = 86400.0  # s after which such a folder is left over from a process that was killed


class DownloadError(FsbError):
    """A server that does not keep to its own listing; the message says what it did."""


@dataclass(frozen=True)
class Listing:
    """The content of one commit of a repository.

    Attributes:
        commit: forty hexadecimal digits.
        sizes: bytes by name of a file. The names are the server's: look up known ones alone.
        private: not everybody can read it.

    >>> Listing("0" * 40, {"manifest.json": 7000}).private
    False
    """

    commit: str
    sizes: Mapping[str, int]
    private: bool = False


def cached(repository: str, name: str, revision: str = "main") -> Path | None:
    """Return a file that was downloaded earlier, or None; the network is not used."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(repository, name, revision=revision)
    return Path(file) if isinstance(file, str) else None


def list_files(repository: str, revision: str = "main") -> Listing:
    """Ask the hub for the files of a repository.

    Args:
        repository: ``owner/name``.
        revision: a branch, a tag or a commit.

    Raises:
        DownloadError: the answer is too long, too slow, or no listing.
        Exception: of huggingface_hub or of its network library, where the hub refuses.
    """
    from huggingface_hub import HfApi

    place = f"api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
    content = bytearray()
    _receive(f"{HfApi().endpoint}/{place}", content.extend, _LONGEST_LISTING)
    try:
        tree = json.loads(content.decode("utf-8"))
        sizes = {str(file["rfilename"]): int(file.get("size") or 0) for file in tree["siblings"]}
        listing = Listing(str(tree["sha"]), sizes, bool(tree.get("private")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DownloadError(f"the listing of {repository} cannot be read: {error!r}") from None
    _check_commit(repository, revision, listing.commit)
    return listing


def _check_commit(repository: str, revision: str, commit: str) -> None:
    if re.fullmatch("[0-9a-f]{40}", commit) is None:
        raise DownloadError(f"{repository} lists {commit[:80]!r} as its commit, which is none")
    if re.fullmatch("[0-9a-f]{40}", revision) and commit != revision:
        raise DownloadError(f"{repository} lists commit {commit} where {revision} was asked for")


def download(repository: str, commit: str, name: str, size: int, folder: Path) -> Path:
    """Download one file of a commit and return its path.

    Args:
        repository: ``owner/name``.
        commit: of a `Listing`.
        name: of the file, as the caller knows it.
        size: in bytes, of the same listing.
        folder: where to put the file.

    Raises:
        DownloadError: the file has another size than listed, or arrives too slowly.
        Exception: as `list_files`.
    """
    from huggingface_hub import hf_hub_url

    path = folder / name
    with path.open("wb") as file:
        received = _receive(hf_hub_url(repository, name, revision=commit), file.write, size)
    if received != size:
        raise DownloadError(f"{name} ended after {received:,} of the {size:,} bytes listed")
    return path


@contextmanager
def scratch_folder(repository: str) -> Iterator[Path]:
    """Make a folder for unfinished downloads beside where `keep` will put them; remove it later."""
    home = _home(repository)
    home.mkdir(parents=True, exist_ok=True)
    for left_over in home.glob(f"{_SCRATCH}*"):
        if time.time() - left_over.stat().st_mtime > _OLD:
            shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=_SCRATCH, dir=home, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


def keep(repository: str, commit: str, folder: Path) -> Path:
    """Move the files of a scratch folder into the cache, and return their folder there."""
    snapshot = snapshot_folder(repository, commit)
    snapshot.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        os.replace(path, snapshot / path.name)
    return snapshot


def snapshot_folder(repository: str, commit: str) -> Path:
    """Return the folder of a commit in the cache, which need not exist."""
    return _home(repository) / "snapshots" / commit


def point(repository: str, revision: str, commit: str) -> None:
    """Let a revision's name stand for a commit, as the cache of huggingface_hub keeps it."""
    if revision == commit:
        return
    reference = _home(repository) / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    partial = reference.with_name(f"{reference.name}.partial")
    partial.write_text(commit, encoding="utf-8")
    os.replace(partial, reference)


def _home(repository: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


# ---- one answer of a server


class _Progress:
    """What the thread that receives and the one that watches it tell each other."""

    def __init__(self) -> None:
        self.received = 0
        self.given_up = threading.Event()
        self.error: BaseException | None = None


def _receive(url: str, take: Callable[[bytes], object], most: int) -> int:
    """Pass the content at an address to ``take`` as it arrives, and return its length.

    A thread receives, since a server that sends a byte now and then would otherwise hold the caller
    at any of its steps: in a redirection, in a header, in the content.
    """
    progress = _Progress()
    thread = threading.Thread(
        target=_try_to_receive, args=(url, take, most, progress), name="download", daemon=True
    )
    thread.start()
    try:
        while True:
            before = progress.received
            thread.join(WINDOW)
            if not thread.is_alive():
                break
            if progress.received - before < LEAST_BYTES:
                raise DownloadError(
                    f"the server sent {progress.received - before:,} bytes in {WINDOW:g} s, which "
                    "is too slow"
                )
    finally:
        progress.given_up.set()
    if progress.error is not None:
        raise progress.error
    return progress.received


def _try_to_receive(
    url: str, take: Callable[[bytes], object], most: int, progress: _Progress
) -> None:
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = build_hf_headers(library_name="facial-soft-biometrics")
    try:
        with get_session().stream(
            "GET", url, headers={**headers, "Accept-Encoding": "identity"}, timeout=WINDOW
        ) as response:
            if not response.is_success:
                refusal = type(response)(
                    response.status_code,
                    headers=_of_refusal(response.headers),
                    content=_beginning(response.iter_raw()),
                    request=response.request,
                )
                hf_raise_for_status(refusal)
            _check_headers(response.headers, most)
            for block in response.iter_raw():
                progress.received += len(block)
                if progress.received > most:
                    raise DownloadError(f"the server sent more than the {most:,} bytes allowed")
                if progress.given_up.is_set():
                    return
                take(block)
    except BaseException as error:
        progress.error = error


def _check_headers(headers: Mapping[str, str], most: int) -> None:
    encoding = headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise DownloadError(f"the server sent {encoding[:80]!r} though it was asked not to pack")
    length = headers.get("Content-Length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise DownloadError(f"the server has {int(length[:20]):,} bytes, {most:,} are allowed")


def _beginning(blocks: Iterable[bytes]) -> bytes:
    """Return the first bytes of a refusal's page, which may be endless."""
    content = b""
    for block in blocks:
        content = (content + block)[:_LONGEST_REFUSAL]
        if len(content) == _LONGEST_REFUSAL:
            break
    return content


def _of_refusal(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that tell why, and none that packs the content."""
    kept = ("X-Error-Code", "X-Error-Message", "Content-Type")
    return {name: headers[name][:500] for name in kept if name in headers}
