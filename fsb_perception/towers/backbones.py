"""Image towers by name: one row a backbone.

A tower is a timm vision transformer with attention pooling, so an adapter that fits one
(``blocks.N.attn.qkv``, ``attn_pool.kv``, prompts after the stem) fits every other. Three families:

- PE-Core (Bolya et al., "Perception Encoder", NeurIPS 2025): timm's ``Eva``, with rotary positions,
  a class token (bigG has none) and a linear projection, ``head``.
- SigLIP2 (Tschannen et al., 2025): timm's ``VisionTransformer`` without class token and projection.
- nano: ours, small enough for a robot's CPU. ``nano-vit-80`` sees images only; ``nano-clip-64`` has
  a text tower like PE-Core's, in small.

The first two are the trunk that open_clip builds (its ``visual.trunk``), made here from timm alone:
the robot needs neither open_clip nor a text tower. A row holds the preprocessing of its pictures,
since that must travel with the weights; open_clip reports CLIP's for a model without weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.registry import Registry
from fsb_perception.towers.nano import hybrid_vit

if TYPE_CHECKING:
    from torch import nn

Family = Literal["PE-Core", "SigLIP2", "nano"]

ADAPTER_TARGETS = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.fc[12])|attn_pool\.(q|kv|proj|mlp\.fc[12])"
"""Matches, in full, the names of the Linear layers that low-rank adapters go into."""


@dataclass(frozen=True)
class Backbone:
    """One row: the function that builds a tower, and the preprocessing of its pictures.

    >>> BACKBONES["PE-Core-L-14-336"].width
    1024

    Attributes:
        build: makes the tower with random weights; its forward maps pixels (n, 3, size, size) to
            pooled and projected features (n, width), not normalised.
        size: side of the square input in pixels; faces are warped to it, aspect not kept.
        width: length of the feature.
        patch: side in pixels of the square that becomes one token.
        mean, std: of the RGB channels in [0, 1], by which pixels are normalised.
        family: decides the tokenizer, and whether pictures may have other sizes (nano's may).
        open_clip: the model's name in open_clip, which has its text tower and published weights;
            "" if open_clip does not have it.
        pretrained: open_clip's tag of those weights.
        text: open_clip's ``text_cfg`` of a text tower that open_clip has no name for.
        adapter_targets: regular expression that matches the adaptable Linear layers' full names.
    """

    build: Callable[[], nn.Module]
    size: int
    width: int
    patch: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    family: Family = "nano"
    open_clip: str = ""
    pretrained: str = ""
    text: Mapping[str, Any] = field(default_factory=dict, hash=False)
    adapter_targets: str = ADAPTER_TARGETS

    @property
    def has_text(self) -> bool:
        """True if there is a text tower whose features share the image features' space."""
        return bool(self.open_clip or self.text)


def _trunk(timm_name: str, classes: int, **changes: Any) -> nn.Module:
    """Build a timm tower as open_clip does: attention pooling, then a projection if classes > 0."""
    mend_torchvision()
    import timm

    return timm.create_model(timm_name, num_classes=classes, global_pool="map", **changes)


# By the name in open_clip: timm's name, size, patch, width.
_PE_CORE = {
    "PE-Core-T-16-384": ("vit_pe_core_tiny_patch16_384", 384, 16, 512),
    "PE-Core-S-16-384": ("vit_pe_core_small_patch16_384", 384, 16, 512),
    "PE-Core-B-16": ("vit_pe_core_base_patch16_224", 224, 16, 1024),
    "PE-Core-L-14-336": ("vit_pe_core_large_patch14_336", 336, 14, 1024),
    "PE-Core-bigG-14-448": ("vit_pe_core_gigantic_patch14_448", 448, 14, 1280),
}
_SIGLIP2 = {
    "ViT-B-32-SigLIP2-256": ("vit_base_patch32_siglip_256", 256, 32, 768),
    "ViT-B-16-SigLIP2": ("vit_base_patch16_siglip_224", 224, 16, 768),
    "ViT-B-16-SigLIP2-256": ("vit_base_patch16_siglip_256", 256, 16, 768),
    "ViT-B-16-SigLIP2-384": ("vit_base_patch16_siglip_384", 384, 16, 768),
    "ViT-B-16-SigLIP2-512": ("vit_base_patch16_siglip_512", 512, 16, 768),
    "ViT-L-16-SigLIP2-256": ("vit_large_patch16_siglip_256", 256, 16, 1024),
    "ViT-L-16-SigLIP2-384": ("vit_large_patch16_siglip_384", 384, 16, 1024),
    "ViT-L-16-SigLIP2-512": ("vit_large_patch16_siglip_512", 512, 16, 1024),
    "ViT-SO400M-14-SigLIP2": ("vit_so400m_patch14_siglip_224", 224, 14, 1152),
    "ViT-SO400M-14-SigLIP2-378": ("vit_so400m_patch14_siglip_378", 378, 14, 1152),
    "ViT-SO400M-16-SigLIP2-256": ("vit_so400m_patch16_siglip_256", 256, 16, 1152),
    "ViT-SO400M-16-SigLIP2-384": ("vit_so400m_patch16_siglip_384", 384, 16, 1152),
    "ViT-SO400M-16-SigLIP2-512": ("vit_so400m_patch16_siglip_512", 512, 16, 1152),
    "ViT-gopt-16-SigLIP2-256": ("vit_giantopt_patch16_siglip_256", 256, 16, 1536),
    "ViT-gopt-16-SigLIP2-384": ("vit_giantopt_patch16_siglip_384", 384, 16, 1536),
}

_pe_core = partial(Backbone, family="PE-Core", pretrained="meta")
_siglip2 = partial(Backbone, family="SigLIP2", pretrained="webli")


def _miniature(timm_name: str, classes: int, **changes: Any) -> nn.Module:
    """Build a tower whose weights keep a feature's scale: timm's deviation of 0.02 is too small."""
    from torch import nn

    tower = _trunk(timm_name, classes, **_MICRO, **changes)
    for module in tower.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    return tower


# The same architectures in miniature, for tests and trials, without published weights.
_MICRO = {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 2}
_MINIATURES = {
    "PE-Core-micro": _pe_core(
        partial(_miniature, "vit_pe_core_tiny_patch16_384", 48, ref_feat_shape=(4, 4)),
        size=32,
        width=48,
        patch=8,
        pretrained="",
        text={"context_length": 32, "vocab_size": 49408, "width": 48, "heads": 2, "layers": 2},
    ),
    "SigLIP2-micro": _siglip2(
        partial(_miniature, "vit_base_patch16_siglip_224", 0),
        size=32,
        width=64,
        patch=8,
        pretrained="",
        text={
            "context_length": 64,
            "vocab_size": 512,
            "width": 64,
            "heads": 2,
            "layers": 2,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"},
        },
    ),
}

_NANO = partial(
    hybrid_vit, width=192, depth=6, mlp_ratio=3.0, channels=(32, 64, 128, 256), depths=(1, 2, 2, 2)
)
BACKBONES: Registry[Backbone] = Registry(
    "backbone",
    {
        **{
            name: _pe_core(partial(_trunk, timm, width), size, width, patch, open_clip=name)
            for name, (timm, size, patch, width) in _PE_CORE.items()
        },
        **{
            name: _siglip2(partial(_trunk, timm, 0), size, width, patch, open_clip=name)
            for name, (timm, size, patch, width) in _SIGLIP2.items()
        },
        **_MINIATURES,
        "nano-vit-80": Backbone(partial(_NANO, size=80), size=80, width=192, patch=16),
        # With a text tower, for the experiments. A larger share of its work is in the blocks, which
        # hold the adapters.
        "nano-clip-64": Backbone(
            partial(
                hybrid_vit,
                size=64,
                width=192,
                depth=6,
                mlp_ratio=3.0,
                channels=(24, 48, 96, 192),
                depths=(1, 1, 2, 2),
            ),
            size=64,
            width=192,
            patch=16,
            text={"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 2, "layers": 3},
        ),
    },
)
