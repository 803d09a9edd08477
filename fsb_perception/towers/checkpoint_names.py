"""State dicts under the names of published checkpoints, renamed to those of our towers.

===================================  ===================  ===============================
publisher                            image tower          text tower
===================================  ===================  ===============================
open_clip, and timm on the hub       ``visual.trunk.*``   ``text.*``
Meta: PE's ``.pt`` files             ``visual.*``         at the root, as the first CLIP's
Google, in transformers' names       ``vision_model.*``   ``text_model.*``
timm; files of this project          at the root
===================================  ===================  ===============================

No tensor of the tower is resized or dropped; the caller checks whether the result fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from fsb_perception._torchvision import mend_torchvision

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]
Part = dict[str, "Tensor"]


def unwrapped(checkpoint: object) -> State:
    """Return the state dict of a training script's checkpoint, without wrapping or DDP's prefix.

    Raises:
        ValueError: it holds no state dict.
    """
    import torch

    for key in ("state_dict", "weights", "model"):
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    if not isinstance(checkpoint, Mapping) or not checkpoint:
        raise ValueError(f"it holds a {type(checkpoint).__name__}, not a dictionary of tensors")
    strays = [name for name, value in checkpoint.items() if not isinstance(value, torch.Tensor)]
    if strays:
        raise ValueError(f"{strays[0]!r} in it is not a tensor")
    return {str(name).removeprefix("module."): value for name, value in checkpoint.items()}


def image_part(state: State) -> Part:
    """Return the image tower's tensors under timm's names, from a state dict in any naming above.

    Raises:
        ValueError: the naming is unknown, or a tensor belongs to neither tower.
    """
    return _part(state, _IMAGE, "image tower")


def text_part(state: State) -> Part:
    """Return the text tower's tensors under the names of open_clip's ``TextTransformer``.

    Raises:
        ValueError: as of `image_part`.
    """
    return _part(state, _TEXT, "text tower")


def few(names: Iterable[str]) -> str:
    """Return the first three of some names, for an error message.

    >>> few(["norm.weight", "norm.bias", "head.weight", "head.bias"])
    'norm.weight, norm.bias, head.weight, ...'
    """
    listed = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _part(
    state: State, namings: Mapping[str, tuple[str, Callable[[Part], Part]]], what: str
) -> Part:
    marker = next((name for name in namings if name in state), None)
    if marker is None:
        raise ValueError(
            f"it has no {what} under a known name ({', '.join(namings)}), but {few(state)}"
        )
    prefix, convert = namings[marker]
    part, unknown = {}, []
    for name, tensor in state.items():
        if match := re.match(prefix, name):
            part[name[match.end() :]] = tensor
        elif not re.match(_BESIDE, name):
            unknown.append(name)
    if unknown:
        raise ValueError(f"{len(unknown)} tensors in it belong to neither tower: {few(unknown)}")
    return convert(part)


def _as_it_is(part: Part) -> Part:
    return part


def _from_meta(part: Part) -> Part:
    """Rename Meta's PE by timm's function, which adds a bias of zeros to the projection."""
    mend_torchvision()
    from timm.models.eva import checkpoint_filter_fn
    from torch import nn

    return checkpoint_filter_fn(part, nn.Module())  # it asks the module for sizes only elsewhere


def _from_transformers(part: Part, names: Mapping[str, str], fused: str) -> Part:
    """Rename Google's SigLIP, and join query, key and value, which are separate tensors there.

    Args:
        part: one tower's tensors, under transformers' names.
        names: regular expressions of parts of a name, and their replacements.
        fused: the end of a joint tensor's name, before "weight" or "bias".
    """
    import torch

    result: Part = {}
    for name, tensor in part.items():
        new = name
        for old, ours in names.items():
            new = re.sub(old, ours, new)
        if "q_proj" in new:
            trio = [part[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
            result[re.sub(r"q_proj\.", fused, new)] = torch.cat(trio)
        elif not re.search(r"[kv]_proj", new):
            result[new] = tensor
    return result


def _from_google_image(part: Part) -> Part:
    part = _from_transformers(part, _GOOGLE_IMAGE, "qkv.")
    part["pos_embed"] = part["pos_embed"].unsqueeze(0)
    for kind in ("weight", "bias"):
        query_key_value = part.pop(f"attn_pool.in_proj_{kind}")
        width = query_key_value.shape[0] // 3
        part[f"attn_pool.q.{kind}"] = query_key_value[:width]
        part[f"attn_pool.kv.{kind}"] = query_key_value[width:]
    return part


def _from_google_text(part: Part) -> Part:
    return _from_transformers(part, _GOOGLE_TEXT, "in_proj_")


_GOOGLE_IMAGE = {
    r"^embeddings\.patch_embedding": "patch_embed.proj",
    r"^embeddings\.position_embedding\.weight": "pos_embed",
    r"^encoder\.layers": "blocks",
    r"\.layer_norm": ".norm",
    r"\.self_attn\.": ".attn.",
    r"\.out_proj": ".proj",
    r"^post_layernorm": "norm",
    r"^head\.probe": "attn_pool.latent",
    r"^head\.attention": "attn_pool",
    r"^head\.layernorm": "attn_pool.norm",
    r"^head\.mlp": "attn_pool.mlp",
}
_GOOGLE_TEXT = {
    r"^embeddings\.token_embedding": "token_embedding",
    r"^embeddings\.position_embedding\.weight": "positional_embedding",
    r"^encoder\.layers": "transformer.resblocks",
    r"\.layer_norm": ".ln_",
    r"\.self_attn\.": ".attn.",
    r"\.fc1": ".c_fc",
    r"\.fc2": ".c_proj",
    r"^final_layer_norm": "ln_final",
    r"^head": "text_projection",
}

# A tensor that only one naming has: how its tower's names begin, and the function that renames.
_IMAGE = {
    "visual.trunk.blocks.0.norm1.weight": (r"visual\.trunk\.", _as_it_is),
    "visual.conv1.weight": (r"visual\.", _from_meta),
    "conv1.weight": (r"", _from_meta),
    "vision_model.post_layernorm.weight": (r"vision_model\.", _from_google_image),
    "blocks.0.norm1.weight": (r"", _as_it_is),
}
_AT_THE_ROOT = r"(transformer|token_embedding|ln_final)\.|positional_embedding$|text_projection"
_TEXT = {
    "text.token_embedding.weight": (r"text\.", _as_it_is),
    "token_embedding.weight": (rf"(?={_AT_THE_ROOT})", _as_it_is),
    "text_model.final_layer_norm.weight": (r"text_model\.", _from_google_text),
}
_BESIDE = rf"(visual|text|vision_model|text_model)\.|{_AT_THE_ROOT}|logit_(scale|bias)$"
