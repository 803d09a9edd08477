"""From a bundle's manifest and weights to the encoder, and from an encoder to weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fsb_perception.bundles.manifest import MANIFEST, WEIGHTS, BundleError, Manifest
from fsb_perception.errors import FsbError
from fsb_perception.towers.checkpoint_files import not_finite, read_safetensors
from fsb_perception.towers.filling import fill

if TYPE_CHECKING:
    from torch import Tensor

    from fsb_perception.model import MultitaskEncoder


def build_encoder(manifest: Manifest) -> MultitaskEncoder:
    """Build the encoder that a manifest describes, as it is deployed, with random weights.

    Raises:
        FsbError: no such backbone, adapter or head, or an adapter's settings are not valid.
    """
    from fsb_perception.adapters import stored_adapter
    from fsb_perception.model import deployed_encoder

    adapter = stored_adapter(manifest.adapter)
    classes = {task.name: len(task.labels) for task in manifest.tasks}
    ordered = {task.name for task in manifest.tasks if task.ordered}
    return deployed_encoder(manifest.backbone, adapter, manifest.head, classes, ordered)


def load_encoder(folder: Path, manifest: Manifest) -> MultitaskEncoder:
    """Load a bundle's encoder: float32, in evaluation mode, on the CPU.

    Args:
        folder: of the bundle.
        manifest: of the bundle.

    Raises:
        BundleError: this FSB lacks a part that the manifest names, or the weights are damaged,
            not finite or do not fit.
    """
    import torch

    path = folder / WEIGHTS
    try:
        state = read_safetensors(path)
    except FsbError as error:
        raise BundleError(str(error)) from None
    try:
        with torch.device("meta"):
            encoder = build_encoder(manifest)
    except (FsbError, KeyError) as error:  # KeyError: torch's, for a task no module can be named
        raise BundleError(f"{folder / MANIFEST} asks for what is not here: {error}") from None
    _fill(encoder, state, path)
    if broken := not_finite(state):
        raise BundleError(
            f"{path} has numbers that are not finite in {broken[0]} and {len(broken) - 1} more "
            "tensors, so that every answer is none: get another bundle"
        )
    return encoder.eval()


def _fill(encoder: MultitaskEncoder, state: dict[str, Tensor], path: Path) -> None:
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


def encoder_state(encoder: MultitaskEncoder, precision: str) -> dict[str, Tensor]:
    """Return the tensors of an encoder as a bundle stores them, on the CPU.

    Args:
        encoder: any.
        precision: of the matrices: "fp16" is half the size of "fp32", which keeps every bit.
            Vectors and buffers stay float32: they are small, and float16 may be too narrow for the
            variances of a batch norm.

    Raises:
        BundleError: a weight is not finite, or is too large for the precision.
    """
    import torch

    dtype = {"fp16": torch.float16, "fp32": torch.float32}[precision]
    matrices = {name for name, p in encoder.named_parameters() if p.ndim >= 2}
    state = {
        name: tensor.detach().to("cpu", dtype if name in matrices else torch.float32).contiguous()
        for name, tensor in encoder.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if broken := not_finite(state):
        raise BundleError(
            f"{broken[0]} and {len(broken) - 1} more tensors are not all finite in {precision}; "
            "nothing was written. Look for where training diverged, or store fp32"
        )
    return state
