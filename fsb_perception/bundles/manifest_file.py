"""``manifest.json``: read without believing it, and written with its seal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from fsb_perception.bundles.hub import LARGEST
from fsb_perception.bundles.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    SEALED_FROM,
    BundleError,
    Manifest,
)
from fsb_perception.bundles.seal import SEAL, seal_holds, sealed
from fsb_perception.files import write_whole
from fsb_perception.options import explain


def read_manifest_file(folder: Path, *, check_seal: bool = True) -> tuple[Manifest, str]:
    """Read the manifest of a bundle.

    Args:
        folder: of the bundle.
        check_seal: False to read a manifest that was edited, in order to seal it again.

    Returns:
        The manifest, and the sha256 of its file in hexadecimal.

    Raises:
        BundleError: it is missing, damaged, of a newer format, or describes what cannot be.
    """
    path = folder / MANIFEST
    try:
        raw = _read_at_most(path, LARGEST[MANIFEST])
        tree = _parse(raw)
        version = _check_version(path, tree.get("format_version"))
        if check_seal and (version >= SEALED_FROM or SEAL in tree) and not seal_holds(raw):
            raise BundleError(
                f"{path} does not match its own sha256, so it was changed: get the bundle again "
                f"from where it came from; if you edited it, run `fsb bundle seal {folder}`"
            )
        tree.pop(SEAL, None)
        manifest = Manifest.model_validate(tree)
    except ValidationError as error:
        raise BundleError(f"{path} cannot be read: {explain(error)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from None
    return manifest, hashlib.sha256(raw).hexdigest()


def write_manifest_file(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a bundle, in the newest format and sealed.

    Raises:
        FileError: the file cannot be written.
    """
    newest = manifest.model_copy(update={"format_version": FORMAT_VERSION})
    write_whole(folder / MANIFEST, sealed(newest.to_json()))


def _read_at_most(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return raw


def _parse(raw: bytes) -> dict[str, object]:
    tree = json.loads(
        raw.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_such_number
    )
    if not isinstance(tree, dict):
        raise ValueError(f"it holds no mapping but a {type(tree).__name__}")
    for text in _texts(tree):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError(f"{text!r} holds half of a surrogate pair, which is no text")
    return tree


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    tree = dict(pairs)
    if len(tree) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} is there twice")
    return tree


def _no_such_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield name
            yield from _texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from _texts(entry)


def _check_version(path: Path, version: object) -> int:
    """Return the format's version; 0 for one that is none, which the manifest's type refuses."""
    if version is None:
        raise ValueError("it has no format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format {version}, this FSB reads up to {FORMAT_VERSION}: update FSB"
        )
    return version if isinstance(version, int) else 0
