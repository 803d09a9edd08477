"""The model hub: download and upload the files of a bundle, and no other file.

A pulled bundle lies in the cache of `huggingface_hub` (``hf cache`` lists and removes it). A name
such as ``main`` points to a new commit there only after that commit was verified, so a bad pull
leaves the last good one in use. This module moves files; `fsb_perception.bundles.bundle` reads
them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception import downloads
from fsb_perception.bundles.manifest import GRAPH, MANIFEST, WEIGHTS, BundleError
from fsb_perception.downloads import Listing

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CARD = "README.md"

LARGEST: Mapping[str, int] = {MANIFEST: 1 << 20, WEIGHTS: 16 << 30, GRAPH: 1 << 26, CARD: 1 << 20}
"""The files that travel, and the most bytes of each: the largest published tower has 7.6 GB."""

_TIMEOUT = 10.0  # s, for an answer without a file in it
_LONGEST_REASON = 500  # characters of an error that a server may fill

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_REFERENCE = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9](?:[\w./-]*\w)?))?", re.ASCII)


Check = Callable[[Path], object]
"""Raises a `BundleError` for a folder that is not what it should be."""


class HubError(BundleError):
    """A request that the hub could not serve; the message says why and what to do."""


@dataclass(frozen=True)
class HubId:
    """A bundle on the hub, written ``owner/name`` or ``owner/name@revision``.

    Attributes:
        repo: ``owner/name``.
        revision: a branch, a tag or a commit.
    """

    repo: str
    revision: str = "main"

    @classmethod
    def parse(cls, text: str) -> HubId | None:
        """Return the id that ``text`` spells, or None if no repository can have that name.

        >>> HubId.parse("lab/faces@v2")
        HubId(repo='lab/faces', revision='v2')
        >>> HubId.parse("../faces") is None
        True
        """
        match = _REFERENCE.fullmatch(text)
        if match is None or ".." in text or "--" in match[1] or match[1].endswith(".git"):
            return None
        return cls(match[1], match[2] or cls.revision)

    def __str__(self) -> str:
        return self.repo if self.revision == HubId.revision else f"{self.repo}@{self.revision}"


def pulled(hub_id: HubId) -> Path | None:
    """Return the folder of a bundle that was pulled earlier, or None; the network is not used."""
    manifest = downloads.cached(hub_id.repo, MANIFEST, hub_id.revision)
    return manifest.parent if manifest else None


def pull(hub_id: HubId, admit: Check, verify: Check) -> Path:
    """Download a bundle into the cache of huggingface_hub; see `fsb_perception.downloads`.

    Args:
        hub_id: of the bundle.
        admit: called with the folder when only the manifest is there; an exception of it ends the
            pull before the weights are requested.
        verify: called with the folder when all files are there; an exception of it removes them.
            Both are called before anything lies where `pulled` looks.

    Returns:
        The folder, ``snapshots/<commit>`` in the cache.

    Raises:
        HubError: no such repository or revision, no bundle in it, files too large, no network.
    """
    with _explained(hub_id):
        listing = downloads.list_files(hub_id.repo, hub_id.revision)
    _check_listing(hub_id, listing.sizes)
    folder = _kept(hub_id, listing.commit, admit, verify) or _fetch(hub_id, listing, admit, verify)
    downloads.point(hub_id.repo, hub_id.revision, listing.commit)
    return folder


def _kept(hub_id: HubId, commit: str, admit: Check, verify: Check) -> Path | None:
    """Return the folder of a commit that was pulled before and is whole, or None."""
    folder = downloads.snapshot_folder(hub_id.repo, commit)
    if not folder.is_dir():
        return None
    try:
        admit(folder)
        verify(folder)
    except BundleError:
        return None  # and so it is fetched again
    return folder


def _fetch(hub_id: HubId, listing: Listing, admit: Check, verify: Check) -> Path:
    with downloads.scratch_folder(hub_id.repo) as folder:
        for name in LARGEST:
            if name not in listing.sizes:
                continue
            with _explained(hub_id):
                downloads.download(hub_id.repo, listing.commit, name, listing.sizes[name], folder)
            if name == MANIFEST:
                admit(folder)
        verify(folder)
        return downloads.keep(hub_id.repo, listing.commit, folder)


def push(
    folder: Path, hub_id: HubId, card: str, *, private: bool = True, create: bool = True
) -> str:
    """Upload a bundle's manifest and weights, and ``card`` as its README.md, in one commit.

    Args:
        folder: of a verified bundle.
        hub_id: where to upload; always its main branch.
        card: text of the model card.
        private: refuse a repository that everybody can read; one made here is private.
        create: make the repository if there is none.

    Returns:
        The address of the commit.

    Raises:
        HubError: no token, no right to write, or a public repository although ``private``.
    """
    from huggingface_hub import CommitOperationAdd, get_token

    if get_token() is None:
        raise HubError("the hub takes uploads only from its users: log in with `hf auth login`")
    api = _api()
    _open_repository(api, hub_id, private, create)
    contents: dict[str, Path | bytes] = {
        MANIFEST: folder / MANIFEST,
        **{name: folder / name for name in (WEIGHTS, GRAPH) if (folder / name).is_file()},
        CARD: card.encode(),
    }
    with _explained(hub_id):
        commit = api.create_commit(
            hub_id.repo,
            [CommitOperationAdd(name, content) for name, content in contents.items()],
            commit_message="Upload a bundle of facial soft biometrics",
        )
    return str(commit.commit_url)


def _open_repository(api: HfApi, hub_id: HubId, private: bool, create: bool) -> None:
    with _explained(hub_id):
        if create:
            api.create_repo(hub_id.repo, private=private, exist_ok=True)
        is_private = api.model_info(hub_id.repo, timeout=_TIMEOUT).private
    if private and not is_private:
        raise HubError(
            f"{hub_id.repo} can be read by everybody: add --public if the bundle may be, "
            "or push to another name"
        )


def _api() -> HfApi:
    from huggingface_hub import HfApi

    return HfApi(library_name="facial-soft-biometrics")


def _check_listing(hub_id: HubId, sizes: Mapping[str, int]) -> None:
    missing = [name for name in (MANIFEST, WEIGHTS) if name not in sizes]
    if missing:
        raise HubError(f"{hub_id} is on the hub, but is no bundle: it has no {missing[0]}")
    for name, most in LARGEST.items():
        if sizes.get(name, 0) > most:
            raise HubError(
                f"{name} of {hub_id} has {sizes[name]:,} bytes, more than the {most:,} that a "
                "bundle's may have: it was not downloaded"
            )


@contextmanager
def _explained(hub_id: HubId) -> Iterator[None]:
    """Turn an error of the library into a HubError that says what to do."""
    from huggingface_hub import errors

    explanations = {
        errors.OfflineModeIsEnabled: "HF_HUB_OFFLINE is set, so the hub is not asked: unset it",
        errors.GatedRepoError: f"{hub_id.repo} asks for consent: give it on the page of the model, "
        "then log in with `hf auth login`",
        errors.RepositoryNotFoundError: f"the hub shows no model {hub_id.repo}: check the name; if "
        "it is private, log in with `hf auth login`",
        errors.RevisionNotFoundError: f"{hub_id.repo} has no revision {hub_id.revision!r}",
    }
    try:
        yield
    except Exception as error:  # the library's errors and httpx's share no base
        for kind, text in explanations.items():
            if isinstance(error, kind):
                raise HubError(text) from error
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise HubError(
            f"the hub could not serve {hub_id}: {reason[:_LONGEST_REASON]}. Try again later."
        ) from error
