"""The weight bundle: a folder of manifest, weights and graph, without code.

The manifest describes the weights, the preprocessing of pictures, the training data and the
measured metrics, and holds the sha256 of every other file and of itself. The bundle id is the name
and the sha256 of the manifest's file, so it changes with anything in the folder.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.bundles import hub
from fsb_perception.bundles.encoder import encoder_state, load_encoder
from fsb_perception.bundles.graph import encoder_graph
from fsb_perception.bundles.hub import HubId
from fsb_perception.bundles.manifest import (
    GRAPH,
    MANIFEST,
    SEALED_FROM,
    WEIGHTS,
    BundleError,
    BundleTask,
    Manifest,
)
from fsb_perception.bundles.manifest_file import read_manifest_file, write_manifest_file
from fsb_perception.files import sha256_of, write_whole
from fsb_perception.registry import UnknownNameError

if TYPE_CHECKING:
    from fsb_perception.model import MultitaskEncoder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
        folder: of its files.
        manifest: the content of ``manifest.json``.
        digest: sha256 of the manifest file, in hexadecimal.

    >>> nano = load_bundle("nano")
    >>> [task.name for task in nano.tasks]
    ['gender', 'age_group', 'emotion']
    """

    folder: Path
    manifest: Manifest
    digest: str = field(repr=False)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.manifest.name

    @property
    def bundle_id(self) -> str:
        """``name@`` and the first twelve digits of the manifest's sha256."""
        return f"{self.name}@{self.digest[:12]}"

    @property
    def tasks(self) -> tuple[BundleTask, ...]:
        """The tasks that the bundle estimates."""
        return self.manifest.tasks

    @property
    def is_sealed(self) -> bool:
        """Whether the manifest holds a hash of itself, as it does from format 3 on."""
        return self.manifest.format_version >= SEALED_FROM

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of the bundle's files; a missing file counts as 0."""
        paths = [self.folder / name for name in (MANIFEST, *self.manifest.files)]
        return sum(path.stat().st_size for path in paths if path.is_file())

    @property
    def has_graph(self) -> bool:
        """True if the encoder can run without torch; see `fsb_perception.bundles.graph`."""
        return GRAPH in self.manifest.files

    def read(self, name: str) -> bytes:
        """Return the content of one of the bundle's files, compared with its hash.

        Raises:
            BundleError: it cannot be read, or has another hash than the manifest says.
        """
        path = self.folder / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from None
        if hashlib.sha256(content).hexdigest() != self.manifest.files.get(name):
            raise BundleError(f"{path} has changed since the bundle was verified: get it again")
        return content

    def build_model(self) -> MultitaskEncoder:
        """Build the encoder with the bundle's weights; see `load_encoder`."""
        return load_encoder(self.folder, self.manifest)


def load_bundle(reference: str | Path, allow_download: bool = False, *, digest: str = "") -> Bundle:
    """Find a bundle and verify its files against their hashes.

    Args:
        reference: as `find_bundle` takes it.
        allow_download: as `find_bundle` takes it.
        digest: that the bundle must have, as `check_digest` takes it; empty for any.

    Raises:
        BundleError: it is missing, damaged, of a newer format, or not the one expected.
    """
    bundle = _verified(find_bundle(reference, allow_download))
    if digest:
        check_digest(bundle, digest)
    elif not bundle.is_sealed:
        _log.warning(
            "the manifest of %s is of format %d, without a hash of itself, so that damage in it "
            "goes unnoticed: run `fsb bundle seal %s`, or give its digest",
            bundle.bundle_id,
            bundle.manifest.format_version,
            bundle.folder,
        )
    return bundle


def save_bundle(
    folder: Path, manifest: Manifest, encoder: MultitaskEncoder, precision: str = "fp16"
) -> Bundle:
    """Write a bundle.

    Args:
        folder: made if missing; an older bundle in it is replaced.
        manifest: its ``files`` are filled in here.
        encoder: whose state is saved.
        precision: of the matrices, "fp16" or "fp32"; see `encoder_state`.

    Raises:
        BundleError: a weight is not finite, or is too large for the precision.
        FileError: a file cannot be written.
    """
    from safetensors.torch import save_file

    state = encoder_state(encoder, precision)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / WEIGHTS, lambda file: save_file(state, file.name))
    manifest = manifest.model_copy(update={"files": {WEIGHTS: sha256_of(folder / WEIGHTS)}})
    write_manifest_file(folder, manifest)
    return load_bundle(folder)


def add_graph(bundle: Bundle) -> Bundle:
    """Write the ONNX graph of a bundle beside its weights, so that it runs without torch.

    The manifest then names one file more, so the bundle gets another id.

    Raises:
        GraphError: packages are missing, or the graph does not compute what torch computes.
        FileError: a file cannot be written.
    """
    model = bundle.build_model().requires_grad_(False)
    size = bundle.manifest.preprocessing.size
    graph = encoder_graph(model, size, bundle.folder / WEIGHTS)
    write_whole(bundle.folder / GRAPH, graph)
    files = {WEIGHTS: bundle.manifest.files[WEIGHTS], GRAPH: sha256_of(bundle.folder / GRAPH)}
    manifest = bundle.manifest.model_copy(update={"files": files})
    write_manifest_file(bundle.folder, manifest)
    return load_bundle(bundle.folder)


def embedded_bundles() -> dict[str, Path]:
    """Return the folders of the bundles that ship inside the package, by name."""
    # Beside this file, and not in the package's folder: the ROS messages share its name.
    root = Path(__file__).parent
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def find_bundle(reference: str | Path, allow_download: bool = False) -> Path:
    """Return the folder of a bundle.

    An existing folder takes precedence over a hub id of the same spelling; a `Path` is never a hub
    id.

    Args:
        reference: the name of an embedded bundle, a path, or ``owner/name`` or
            ``owner/name@revision`` on the model hub.
        allow_download: download a hub's bundle that was not pulled yet. Without it, the network is
            not used.

    Raises:
        BundleError: there is no such bundle, or it was not pulled.
    """
    embedded = embedded_bundles()
    if str(reference) in embedded:
        return embedded[str(reference)]
    hub_id = HubId.parse(reference) if isinstance(reference, str) else None
    folder = _as_folder(reference)
    if folder is not None and (folder / MANIFEST).is_file():
        return folder
    if folder is not None:
        hint = f" To use the hub's {hub_id}, call from where no such folder is." if hub_id else ""
        raise BundleError(f"{folder} is not a bundle: there is no {MANIFEST} in it.{hint}")
    if hub_id is None:
        unknown = UnknownNameError("bundle", str(reference), embedded)
        raise BundleError(f"{unknown} Or give a folder, or owner/name of the model hub.")
    return _from_hub(hub_id, allow_download)


def _as_folder(reference: str | Path) -> Path | None:
    try:
        folder = Path(reference).expanduser()
        return folder if folder.exists() else None
    except (OSError, RuntimeError):  # too long a name; the home of an unknown user
        return None


def _from_hub(hub_id: HubId, allow_download: bool) -> Path:
    folder = hub.pulled(hub_id)
    if folder is None and allow_download:
        folder = pull_bundle(hub_id).folder
    if folder is None:
        raise BundleError(
            f"there is no folder {hub_id}, and no bundle {hub_id} was pulled from the model hub: "
            f"get it with `fsb bundle pull {hub_id}`"
        )
    return folder


def pull_bundle(hub_id: HubId, digest: str = "") -> Bundle:
    """Download a bundle from the model hub, and keep it if it is whole.

    The manifest comes first: a newer format, or one that is not understood, is refused before the
    weights are requested.

    Args:
        hub_id: where it lies.
        digest: that the bundle must have, as `check_digest` takes it; empty for any.

    Raises:
        HubError: the hub does not serve the bundle.
        BundleError: the bundle cannot be used, or is not the one expected.
    """

    def admit(folder: Path) -> None:
        bundle = read_manifest(folder)
        if digest:
            check_digest(bundle, digest)

    return _verified(hub.pull(hub_id, admit=admit, verify=_verified))


def read_manifest(folder: Path) -> Bundle:
    """Return the bundle in ``folder`` by its manifest alone; its files are not read.

    Raises:
        BundleError: the manifest is missing, damaged or of a newer format.
    """
    manifest, digest = read_manifest_file(folder)
    return Bundle(folder, manifest, digest)


def seal_bundle(folder: Path) -> Bundle:
    """Write the manifest of a bundle again, in the newest format and sealed, after an edit.

    Raises:
        BundleError: the manifest describes what cannot be, or the weights do not match it.
        FileError: the manifest cannot be written.
    """
    manifest, digest = read_manifest_file(folder, check_seal=False)
    _check_files(Bundle(folder, manifest, digest))
    write_manifest_file(folder, manifest)
    return load_bundle(folder)


def check_digest(bundle: Bundle, expected: str) -> None:
    """Refuse a bundle that is not the one expected.

    Args:
        bundle: any.
        expected: ``sha256:`` and 64 hexadecimal digits, as `fsb bundle verify` prints them.

    Raises:
        BundleError: the digest differs, or ``expected`` is no digest.
    """
    if re.fullmatch("sha256:[0-9a-f]{64}", expected) is None:
        raise BundleError(
            f"the digest of a bundle is sha256: and 64 hexadecimal digits, got {expected[:80]!r}: "
            "copy it from `fsb bundle verify`"
        )
    if expected != f"sha256:{bundle.digest}":
        raise BundleError(
            f"the bundle in {bundle.folder} has the digest sha256:{bundle.digest}, expected is "
            f"{expected}: get the expected one, or expect this one if you trust its source"
        )


def _verified(folder: Path) -> Bundle:
    bundle = read_manifest(folder)
    _check_files(bundle)
    return bundle


def _check_files(bundle: Bundle) -> None:
    faults = [f"{name}: {fault}" for name, fault in verify_files(bundle).items() if fault]
    if faults:
        raise BundleError(
            f"the bundle in {bundle.folder} does not match its manifest: {'; '.join(faults)}. "
            "Get it again from where it came from; do not use it."
        )


def verify_files(bundle: Bundle) -> dict[str, str]:
    """Return the fault of each file of a bundle, by name; an empty text for a whole file."""
    return {
        name: _fault(bundle.folder, name, expected)
        for name, expected in ({WEIGHTS: ""} | bundle.manifest.files).items()
    }


def _fault(folder: Path, name: str, expected: str) -> str:
    path = folder / name
    if not expected:
        return "has no sha256 in the manifest"
    if not path.is_file():
        return "is missing"
    if _leads_out(folder, path):
        return "is a link that leads out of the bundle"
    actual = sha256_of(path)
    return "" if actual == expected else f"has sha256 {actual[:12]}..., expected {expected[:12]}..."


def _leads_out(folder: Path, path: Path) -> bool:
    """Return whether a file lies elsewhere than the manifest.

    A bundle may be a folder of links, as colcon installs it and the hub's cache stores it, but then
    all of them lead to one place.
    """
    homes = [(folder / MANIFEST).resolve().parent]
    if folder.parent.name == "snapshots":  # <cache>/models--owner--name/snapshots/<commit>
        homes.append(folder.resolve().parents[2])
    return not any(path.resolve().is_relative_to(home) for home in homes)
