"""The model hub: the three files of a bundle, down from it and up to it, and no other file ever.

What is pulled lies in the cache of `huggingface_hub` (``hf cache`` lists and removes it). A name
such as ``main`` points to a new commit there only once that commit has been found whole, so a bad
pull leaves the last good one in use. This module moves files; what they hold, `bundle` judges.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.errors import FsbError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
CARD = "README.md"

# The files that travel, and their most bytes: the largest published tower takes 7.6 GB in float32.
LARGEST: Mapping[str, int] = {MANIFEST: 1 << 20, WEIGHTS: 16 << 30, CARD: 1 << 20}

_PATIENCE = 10.0  # s, for an answer without a file in it

_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?"
_REFERENCE = re.compile(rf"({_PART}/{_PART})(?:@([A-Za-z0-9](?:[\w./-]*\w)?))?", re.ASCII)


class HubError(FsbError):
    """The hub could not do what was asked; the message says why and what to do."""


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
        """What ``text`` names, or None where no repository of the hub can be called so.

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
    """The folder of a bundle that was pulled earlier, or None. Never asks the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id.repo, MANIFEST, revision=hub_id.revision)
    return Path(found).parent if isinstance(found, str) else None


def pull(hub_id: HubId, admit: Callable[[Path], object], verify: Callable[[Path], object]) -> Path:
    """Download a bundle into the cache of huggingface_hub.

    Args:
        hub_id: which.
        admit: called with the folder when only the manifest is there; what it raises ends the pull
            before the weights are asked for.
        verify: called with the folder when all is there; what it raises throws the files away.

    Returns:
        The folder, ``snapshots/<commit>`` in the cache.

    Raises:
        HubError: no such repository or revision, no bundle in it, files too large, no network.
    """
    with _explained(hub_id):
        info = _api().model_info(
            hub_id.repo, revision=hub_id.revision, files_metadata=True, timeout=_PATIENCE
        )
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    _check_listing(hub_id, sizes)
    commit = HubId(hub_id.repo, str(info.sha))
    folder = _fetch(commit, MANIFEST)
    admit(folder)
    for name in (WEIGHTS, CARD):
        if name in sizes:
            _fetch(commit, name)
    try:
        verify(folder)
    except Exception:
        _throw_away(folder)
        raise
    _remember(hub_id, folder)
    return folder


def push(
    folder: Path, hub_id: HubId, card: str, *, private: bool = True, create: bool = True
) -> str:
    """Upload a bundle's manifest and weights, and ``card`` as its README.md, in one commit.

    Args:
        folder: a verified bundle.
        hub_id: where to; always its main branch.
        card: text of the model card.
        private: refuse a repository that everybody can read; one made here is private.
        create: make the repository if there is none.

    Returns:
        The address of the commit.

    Raises:
        HubError: no token, no right to write, a public repository where a private one was meant.
    """
    from huggingface_hub import CommitOperationAdd, get_token

    if get_token() is None:
        raise HubError("the hub takes uploads only from its users: log in with `hf auth login`")
    api = _api()
    with _explained(hub_id):
        if create:
            api.create_repo(hub_id.repo, private=private, exist_ok=True)
        is_private = api.model_info(hub_id.repo, timeout=_PATIENCE).private
    if private and not is_private:
        raise HubError(
            f"{hub_id.repo} can be read by everybody: say --public if the bundle may be, "
            "or push to another name"
        )
    contents: dict[str, Path | bytes] = {
        MANIFEST: folder / MANIFEST,
        WEIGHTS: folder / WEIGHTS,
        CARD: card.encode(),
    }
    with _explained(hub_id):
        commit = api.create_commit(
            hub_id.repo,
            [CommitOperationAdd(name, content) for name, content in contents.items()],
            commit_message="Upload a bundle of facial soft biometrics",
        )
    return str(commit.commit_url)


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


def _fetch(commit: HubId, name: str) -> Path:
    """Download one file; the folder it lies in."""
    with _explained(commit):
        return Path(_api().hf_hub_download(commit.repo, name, revision=commit.revision)).parent


def _throw_away(folder: Path) -> None:
    from huggingface_hub import scan_cache_dir

    scan_cache_dir(folder.parents[2]).delete_revisions(folder.name).execute()


def _remember(hub_id: HubId, folder: Path) -> None:
    """Let the revision's name point to this commit, as the cache of huggingface_hub keeps it."""
    if hub_id.revision == folder.name:
        return
    reference = folder.parents[1] / "refs" / hub_id.revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    unfinished = reference.with_name(f"{reference.name}.{os.getpid()}.tmp")
    unfinished.write_text(folder.name, encoding="utf-8")
    unfinished.replace(reference)


@contextmanager
def _explained(hub_id: HubId) -> Iterator[None]:
    """Turns what the library raises into a HubError that says what to do."""
    from huggingface_hub import errors

    told = {
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
        for kind, text in told.items():
            if isinstance(error, kind):
                raise HubError(text) from error
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise HubError(f"the hub could not serve {hub_id}: {said}. Try again later.") from error
