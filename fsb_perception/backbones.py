"""Image towers by name: one row a backbone.

A tower is a timm ``VisionTransformer`` with attention pooling, so that whatever adapts one
(``blocks.N.attn.qkv``, ``attn_pool.kv``, prompts after the stem) adapts every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.registry import Registry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Backbone:
    """One row: how to build a tower, and how its pictures must look.

    Attributes:
        build: makes the tower with random weights; its forward maps pixels (n, 3, size, size) to
            pooled features (n, width).
        size: side of its square input in pixels.
        width: length of the pooled feature.
        mean, std: of the RGB channels in [0, 1].
    """

    build: Callable[[], nn.Module]
    size: int
    width: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


BACKBONES: Registry[Backbone] = Registry("backbone")


def residual_stem(channels: Sequence[int], depths: Sequence[int]) -> nn.Module:
    """A small residual network as patch embedding, stride 2 before every stage.

    Convolutions learn from tens of thousands of faces what attention alone needs millions for
    (Xiao et al., "Early convolutions help transformers see better", NeurIPS 2021).

    Args:
        channels: of each stage.
        depths: residual blocks of each stage.

    Returns:
        A module from (n, 3, h, w) to (n, channels[-1], h / 2**len(channels), w / 2**len(channels)).
    """
    mend_torchvision()
    from timm.layers import ConvNormAct
    from timm.models.resnet import BasicBlock, downsample_avg
    from torch import nn

    layers: list[nn.Module] = [ConvNormAct(3, channels[0], kernel_size=3, stride=2)]
    before = channels[0]
    for stage, (width, depth) in enumerate(zip(channels, depths, strict=True)):
        for block in range(depth):
            stride = 2 if stage > 0 and block == 0 else 1
            changes = stride != 1 or before != width
            shortcut = downsample_avg(before, width, 1, stride) if changes else None
            layers.append(BasicBlock(before, width, stride=stride, downsample=shortcut))
            before = width
    return nn.Sequential(*layers)


def hybrid_vit(
    size: int,
    width: int,
    depth: int,
    mlp_ratio: float,
    channels: Sequence[int],
    depths: Sequence[int],
) -> nn.Module:
    """A vision transformer on a residual stem, with attention pooling and no class token.

    Takes any picture whose side is a multiple of the stem's stride: positions are interpolated.
    """
    mend_torchvision()
    from timm.layers import HybridEmbed
    from timm.models.vision_transformer import VisionTransformer

    stem = residual_stem(channels, depths)
    return VisionTransformer(
        img_size=size,
        patch_size=1,
        embed_layer=partial(HybridEmbed, backbone=stem),
        embed_dim=width,
        depth=depth,
        num_heads=width // 64,
        mlp_ratio=mlp_ratio,
        class_token=False,
        global_pool="map",
        num_classes=0,
        dynamic_img_size=True,
    )


_NANO = partial(
    hybrid_vit, width=192, depth=6, mlp_ratio=3.0, channels=(32, 64, 128, 256), depths=(1, 2, 2, 2)
)

BACKBONES.register("nano-vit-80")(Backbone(partial(_NANO, size=80), size=80, width=192))
