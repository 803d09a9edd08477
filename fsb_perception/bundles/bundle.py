"""The weight bundle: a folder of ``manifest.json`` and ``weights.safetensors``; nothing that runs.

The manifest says what the weights are, how pictures must be prepared for them, what they were
trained on, what was measured, and the sha256 of every other file. The bundle id is the name and the
sha256 of the manifest itself, so it changes when anything in the folder does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from fsb_perception.bundles import hub
from fsb_perception.bundles.hub import LARGEST, MANIFEST, WEIGHTS, HubError, HubId
from fsb_perception.bundles.manifest import FORMAT_VERSION, BundleError, BundleTask, Manifest
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.filling import fill

if TYPE_CHECKING:
    import torch

    from fsb_perception.model import MultitaskEncoder


@dataclass(frozen=True)
class Bundle:
    """A verified bundle on disk.

    Attributes:
        folder: where it lies.
        manifest: what it says of itself.
        digest: sha256 of the manifest file, in hexadecimal.
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
        """What the bundle estimates."""
        return self.manifest.tasks

    @property
    def size_bytes(self) -> int:
        """Bytes on disk of the files of the bundle; one that is missing has none."""
        paths = [self.folder / name for name in (MANIFEST, *self.manifest.files)]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def build_model(self) -> MultitaskEncoder:
        """The encoder with the bundle's weights, float32, in evaluation mode, on the CPU."""
        import torch

        path = self.folder / WEIGHTS
        state = _read_weights(path)
        try:
            with torch.device("meta"):
                encoder = build_encoder(self.manifest)
        except (OptionError, KeyError) as error:  # a KeyError: no backbone, or no name for a module
            raise BundleError(
                f"{self.folder / MANIFEST} asks for what is not here: {error}"
            ) from None
        _load_state(encoder, state, path)
        return encoder.eval()


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{path} is no safetensors file that can be read: {error}") from None


def _load_state(encoder: MultitaskEncoder, state: dict[str, torch.Tensor], path: Path) -> None:
    try:
        missing, unexpected = fill(encoder, state)
    except RuntimeError as error:  # torch names every tensor of another shape
        raise BundleError(f"{path} does not fit its backbone: {error}") from None
    if missing or unexpected:
        raise BundleError(
            f"{path} does not fit its backbone: missing {missing[:3]}, "
            f"unexpected {unexpected[:3]}. "
            "The bundle was made by another version of FSB: get the one that matches."
        )


def save_bundle(
    folder: Path, manifest: Manifest, encoder: MultitaskEncoder, precision: str = "fp16"
) -> Bundle:
    """Write a bundle.

    Args:
        folder: made if missing; an older bundle in it is replaced.
        manifest: ``files`` is filled in here.
        encoder: its state is saved.
        precision: of the matrices: "fp16" is half the size of "fp32", which keeps every bit.
            Vectors and buffers stay float32: they are small, and the variances of a batch norm
            may be larger or smaller than float16 can tell.

    Raises:
        BundleError: a weight is not finite, or is too large for the precision.
    """
    import torch
    from safetensors.torch import save_file

    dtype = {"fp16": torch.float16, "fp32": torch.float32}[precision]
    matrices = {name for name, p in encoder.named_parameters() if p.ndim >= 2}
    state = {
        name: tensor.detach().to("cpu", dtype if name in matrices else torch.float32).contiguous()
        for name, tensor in encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise BundleError(
            f"{broken[0]} and {len(broken) - 1} more tensors are not all finite in {precision}; "
            "nothing was written. Look for where training diverged, or store fp32"
        )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS)
    manifest = manifest.model_copy(update={"files": {WEIGHTS: sha256(folder / WEIGHTS)}})
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return load_bundle(folder)


def embedded_bundles() -> dict[str, Path]:
    """Folders of the bundles that ship inside the package, by name."""
    # Beside this file, and not where the package is said to be: the messages share its name.
    root = Path(__file__).parent
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def find_bundle(reference: str | Path, allow_download: bool = False) -> Path:
    """The folder of an embedded bundle by its name, of a path, or of a hub's ``owner/name``.

    A folder that exists wins over a hub id of the same spelling; a `Path` is never a hub id.

    Args:
        reference: what to find; a hub id may end in ``@revision``.
        allow_download: get a hub's bundle that has not been pulled yet. Without it the network is
            never asked.

    Raises:
        BundleError: it is none of these, or not here.
    """
    embedded = embedded_bundles()
    if str(reference) in embedded:
        return embedded[str(reference)]
    hub_id = HubId.parse(reference) if isinstance(reference, str) else None
    folder = _as_folder(reference)
    if folder is not None and (folder / MANIFEST).is_file():
        return folder
    if folder is not None:
        wins = f" To mean the hub's {hub_id}, call from where no such folder is." if hub_id else ""
        raise BundleError(f"{folder} is not a bundle: there is no {MANIFEST} in it.{wins}")
    if hub_id is None:
        unknown = UnknownNameError("bundle", str(reference), embedded)
        raise BundleError(f"{unknown} Or give a folder, or owner/name of the model hub.")
    return _from_hub(hub_id, allow_download)


def _as_folder(reference: str | Path) -> Path | None:
    """The path that ``reference`` spells, if something is there."""
    try:
        folder = Path(reference).expanduser()
        return folder if folder.exists() else None
    except (OSError, RuntimeError):  # too long a name; a home of nobody
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


def pull_bundle(hub_id: HubId) -> Bundle:
    """Download a bundle from the model hub; only one that is whole is kept.

    The manifest comes first: a newer format, or one that is not understood, is refused before the
    weights are asked for.

    Raises:
        BundleError: the hub does not give it, or what it gives cannot be used.
    """
    try:
        return _whole(hub.pull(hub_id, admit=read_manifest, verify=_whole))
    except HubError as error:
        raise BundleError(str(error)) from error


def load_bundle(reference: str | Path, allow_download: bool = False) -> Bundle:
    """The bundle that ``reference`` names, its files verified against their hashes.

    Args:
        reference: as `find_bundle` takes it.
        allow_download: as `find_bundle` takes it.

    Raises:
        BundleError: it is missing, damaged, tampered with or of a newer format.
    """
    return _whole(find_bundle(reference, allow_download))


def _whole(folder: Path) -> Bundle:
    bundle = read_manifest(folder)
    faults = [f"{name}: {fault}" for name, fault in verify_files(bundle).items() if fault]
    if faults:
        raise BundleError(
            f"the bundle in {folder} is not what its manifest says: {'; '.join(faults)}. "
            "Get it again from where it came from; do not use it."
        )
    return bundle


def read_manifest(folder: Path) -> Bundle:
    """The bundle in ``folder`` by its manifest alone; its files are not read."""
    path = folder / MANIFEST
    try:
        raw = _read_at_most(path, LARGEST[MANIFEST])
        tree = json.loads(raw)
        _check_version(path, tree.get("format_version"))
        manifest = Manifest.model_validate(tree)
    except (OSError, ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from None
    return Bundle(folder, manifest, hashlib.sha256(raw).hexdigest())


def _read_at_most(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return raw


def _check_version(path: Path, version: object) -> None:
    if version is None:
        raise ValueError("it says no format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{path} has format {version}, this FSB reads up to {FORMAT_VERSION}: update FSB"
        )


def verify_files(bundle: Bundle) -> dict[str, str]:
    """What is wrong with each file of the bundle, by name; an empty text where nothing is."""
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
    if _strays(folder, path):
        return "is a link that leads out of the bundle"
    actual = sha256(path)
    return "" if actual == expected else f"has sha256 {actual[:12]}..., expected {expected[:12]}..."


def _strays(folder: Path, path: Path) -> bool:
    """Whether a file lies elsewhere than the manifest: a bundle may be a folder of links (colcon
    installs so, and the hub's cache stores so), but then all of them lead to one place.
    """
    homes = [(folder / MANIFEST).resolve().parent]
    if folder.parent.name == "snapshots":  # <cache>/models--owner--name/snapshots/<commit>
        homes.append(folder.resolve().parents[2])
    return not any(path.resolve().is_relative_to(home) for home in homes)


def sha256(path: Path) -> str:
    """sha256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def build_encoder(manifest: Manifest) -> MultitaskEncoder:
    """The encoder that a manifest describes, as it is deployed, with random weights."""
    from fsb_perception.adapters import adapter_config
    from fsb_perception.model import deployed_encoder

    adapter = adapter_config(manifest.adapter)
    classes = {task.name: len(task.labels) for task in manifest.tasks}
    ordered = {task.name for task in manifest.tasks if task.ordered}
    return deployed_encoder(manifest.backbone, adapter, manifest.head, classes, ordered)
