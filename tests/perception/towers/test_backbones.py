from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.backbones import BACKBONES

mend_torchvision()

OF_OPEN_CLIP = [name for name, row in BACKBONES.items() if row.open_clip]
DISTINCT = [
    "PE-Core-T-16-384",
    "PE-Core-bigG-14-448",
    "ViT-B-16-SigLIP2",
    "ViT-SO400M-14-SigLIP2-378",
]
SMALL = ["PE-Core-micro", "SigLIP2-micro", "nano-vit-80"]


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def test_every_pe_core_and_siglip2_of_open_clip_has_a_row():
    import open_clip

    theirs = {name for name in open_clip.list_models() if re.search("PE-Core|SigLIP2", name)}
    assert set(OF_OPEN_CLIP) == theirs
    assert all(BACKBONES[name].open_clip == name for name in OF_OPEN_CLIP)


@pytest.mark.parametrize("name", OF_OPEN_CLIP)
def test_row_says_what_open_clip_says(name):
    import open_clip

    row = BACKBONES[name]
    vision = open_clip.get_model_config(name)["vision_cfg"]
    published = open_clip.get_pretrained_cfg(name, row.pretrained)
    assert row.size == vision["image_size"]
    assert row.width == open_clip.get_model_config(name)["embed_dim"]
    assert row.build.args == (vision["timm_model_name"], 0 if vision["timm_proj"] else row.width)
    assert f"patch{row.patch}_" in vision["timm_model_name"]
    assert (row.mean, row.std) == (published["mean"], published["std"])
    assert published["resize_mode"] == "squash"  # what a warp to a square does


@pytest.mark.parametrize("name", DISTINCT)
def test_tower_is_the_trunk_that_open_clip_builds(name):
    import open_clip

    config = open_clip.get_model_config(name)
    del config["custom_text"]
    config["text_cfg"] |= {"layers": 1, "vocab_size": 1}
    with torch.device("meta"):
        theirs = open_clip.CustomTextCLIP(**config).visual
        ours = BACKBONES[name].build()
    assert shapes(ours) == shapes(theirs.trunk)
    assert not list(theirs.head.parameters()), "open_clip projects outside the trunk"
    assert repr(ours) == repr(theirs.trunk)


@pytest.mark.parametrize("name", SMALL)
def test_small_towers_map_pixels_to_features(name):
    row = BACKBONES[name]
    tower = row.build().eval()
    with torch.inference_mode():
        features = tower(torch.randn(2, 3, row.size, row.size))
    assert features.shape == (2, row.width)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize(
    ("name", "class_token", "rotary", "projected"),
    [("PE-Core-micro", True, True, True), ("SigLIP2-micro", False, False, False)],
)
def test_miniatures_are_built_like_their_families(name, class_token, rotary, projected):
    tower = BACKBONES[name].build()
    assert (tower.cls_token is not None) == class_token
    assert (getattr(tower, "rope", None) is not None) == rotary
    assert isinstance(tower.head, nn.Linear) == projected
    assert len(tower.blocks) == 4
    large = next(n for n in OF_OPEN_CLIP if BACKBONES[n].family == BACKBONES[name].family)
    with torch.device("meta"):
        names = set(shapes(BACKBONES[large].build()))
    assert {n for n in names if not re.match(r"blocks\.([4-9]|\d\d)\.", n)} == set(shapes(tower))


@pytest.mark.parametrize("name", ["PE-Core-B-16", "ViT-B-16-SigLIP2", *SMALL])
def test_adapter_targets_are_the_linear_layers_of_blocks_and_pooling(name):
    row = BACKBONES[name]
    with torch.device("meta"):
        modules = dict(row.build().named_modules())
    targets = {n for n in modules if re.fullmatch(row.adapter_targets, n)}
    linear = {n for n, module in modules.items() if isinstance(module, nn.Linear)}
    assert targets == linear - {"head"}
    assert len(targets) == 4 * len(modules["blocks"]) + 5


@pytest.mark.parametrize("name", BACKBONES)
def test_what_has_text(name):
    assert BACKBONES[name].has_text == (name != "nano-vit-80")


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'PE-Core-L-14-336'\?"):
        BACKBONES["PE-Core-L-14-33"]


def test_import_is_light():
    code = (
        "import sys\n"
        "from fsb_perception.towers import backbones, text, weights\n"
        "print(sorted({'open_clip', 'timm', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
