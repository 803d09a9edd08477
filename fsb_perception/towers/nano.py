"""The project's own towers: a vision transformer on a small residual stem."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from fsb_perception._torchvision import mend_torchvision

if TYPE_CHECKING:
    from torch import nn


def residual_stem(channels: Sequence[int], depths: Sequence[int]) -> nn.Module:
    """Build a small residual network as patch embedding, with stride 2 before every stage.

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
    """Build a vision transformer on a residual stem, with attention pooling and no class token.

    It takes any picture whose side is a multiple of the stem's stride: positions are interpolated.

    Args:
        size: side in pixels of the pictures that the positions are learned for.
        width: length of a token and of the feature; a multiple of 64, the width of a head.
        depth: the number of blocks.
        mlp_ratio: width of a block's hidden layer over ``width``.
        channels: of each stage of the stem.
        depths: residual blocks of each stage of the stem.
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
