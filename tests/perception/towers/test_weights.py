from __future__ import annotations

import pickle
import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.registry import UnknownNameError
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.checkpoint_names import image_part, text_part
from fsb_perception.towers.text import build_text_tower, text_config
from fsb_perception.towers.weights import (
    HUB_FILE,
    WeightsError,
    hub_repository,
    load_text_tower,
    load_tower,
)
from tests.towers import MICRO

mend_torchvision()

# Width, blocks and the side of the patch grid of Meta's published towers, and whether they have a
# class token (facebookresearch/perception_models, core/vision_encoder/config.py), and ours.
META = {
    "PE-Core-T-16-384": (192, 12, 24, True),
    "PE-Core-S-16-384": (384, 12, 24, True),
    "PE-Core-B-16": (768, 12, 14, True),
    "PE-Core-L-14-336": (1024, 24, 24, True),
    "PE-Core-bigG-14-448": (1536, 50, 32, False),
    "PE-Core-micro": (64, 4, 4, True),
}


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def block(prefix: str, width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    layers = {
        f"{prefix}.attn.in_proj_": (3 * width, width),
        f"{prefix}.attn.out_proj.": (width, width),
        f"{prefix}.mlp.c_fc.": (hidden, width),
        f"{prefix}.mlp.c_proj.": (width, hidden),
    }
    norms = {f"{prefix}.ln_{i}.{kind}": (width,) for i in (1, 2) for kind in ("weight", "bias")}
    weights = {f"{name}weight": shape for name, shape in layers.items()}
    return weights | {f"{name}bias": shape[:1] for name, shape in layers.items()} | norms


def meta_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return a state dict under the names of Meta's ``pe.CLIP``."""
    row, (width, blocks, grid, class_token) = BACKBONES[name], META[name]
    text = text_config(row)
    hidden = 8960 if name == "PE-Core-bigG-14-448" else 4 * width
    visual = {
        "conv1.weight": (width, 3, row.patch, row.patch),
        "positional_embedding": (grid**2 + class_token, width),
        "proj": (width, row.width),
        "attn_pool.probe": (1, 1, width),
    }
    visual |= {"class_embedding": (width,)} if class_token else {}
    for norm in ("ln_pre", "ln_post", "attn_pool.layernorm"):
        visual |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    for i in range(blocks):
        visual |= block(f"transformer.resblocks.{i}", width, hidden)
    pool = block("attn_pool", width, 4 * width)
    visual |= {part: shape for part, shape in pool.items() if ".ln_" not in part}
    both = {f"visual.{part}": shape for part, shape in visual.items()}
    both |= {
        "token_embedding.weight": (text["vocab_size"], text["width"]),
        "positional_embedding": (text["context_length"], text["width"]),
        "ln_final.weight": (text["width"],),
        "ln_final.bias": (text["width"],),
        "text_projection": (text["width"], row.width),
        "logit_scale": (),
    }
    for i in range(text["layers"]):
        both |= block(f"transformer.resblocks.{i}", text["width"], 4 * text["width"])
    return both


def random_like(wanted: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: torch.randn(shape) for name, shape in wanted.items()}


def towers(name: str) -> tuple[nn.Module, nn.Module]:
    row = BACKBONES[name]
    return row.build().eval(), build_text_tower(row).eval()


def open_clip_state(image: nn.Module, text: nn.Module) -> dict[str, Tensor]:
    state = {f"visual.trunk.{name}": tensor for name, tensor in image.state_dict().items()}
    state |= {f"text.{name}": tensor for name, tensor in text.state_dict().items()}
    return state | {"logit_scale": torch.ones([]), "logit_bias": torch.zeros([])}


def saved(state: object, path: Path) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def assert_same(ours: nn.Module, theirs: nn.Module) -> None:
    """Equal in every tensor, those that are not in the state dict too; all real, none frozen."""
    for mine, its in ((ours.parameters, theirs.parameters), (ours.buffers, theirs.buffers)):
        for one, other in zip(mine(), its(), strict=True):
            assert torch.equal(one, other)
            assert one.requires_grad == other.requires_grad


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt", "w.pth", "w.bin", HUB_FILE])
@pytest.mark.parametrize("name", MICRO)
def test_both_towers_load_from_an_open_clip_file(name, file, tmp_path):
    image, text = towers(name)
    path = saved(open_clip_state(image, text), tmp_path / file)
    source = tmp_path if file == HUB_FILE else path
    assert_same(load_tower(name, source), image)
    assert_same(load_text_tower(name, source), text)
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(load_tower(name, source).eval()(pixels), image(pixels))


@pytest.mark.parametrize("name", [*MICRO, "nano-vit-80"])
def test_tower_loads_from_its_own_names(name, tmp_path):
    tower = BACKBONES[name].build()
    assert_same(load_tower(name, saved(tower.state_dict(), tmp_path / "w.safetensors")), tower)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "weights", "module."])
def test_wrapping_of_training_scripts_is_taken_off(wrap, tmp_path):
    image, text = towers("PE-Core-micro")
    state = open_clip_state(image, text)
    if wrap == "module.":
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    else:
        wrapped = {wrap: state, "epoch": 3}
    assert_same(load_tower("PE-Core-micro", saved(wrapped, tmp_path / "w.pt")), image)


def test_halves_become_float32(tmp_path):
    image, text = towers("SigLIP2-micro")
    state = {name: tensor.bfloat16() for name, tensor in open_clip_state(image, text).items()}
    path = saved(state, tmp_path / "w.safetensors")
    assert_same(load_tower("SigLIP2-micro", path), image.bfloat16().float())
    assert_same(load_text_tower("SigLIP2-micro", path), text.bfloat16().float())


def test_tower_outlives_its_file(tmp_path):
    image, text = towers("PE-Core-micro")
    path = saved(open_clip_state(image, text), tmp_path / "w.pt")
    loaded = load_tower("PE-Core-micro", path)
    path.write_bytes(bytes(path.stat().st_size))
    assert_same(loaded, image)


@pytest.mark.parametrize("name", META)
def test_metas_names_and_shapes_leave_no_tensor_over(name):
    with torch.device("meta"):
        state = random_like(meta_shapes(name))
        image, text = towers(name)
    assert shapes(image_part(state)) == shapes(image.state_dict())
    assert shapes(text_part(state)) == shapes(text.state_dict())


@pytest.mark.parametrize("images_only", [False, True])
def test_each_tensor_of_metas_is_where_it_belongs(images_only, tmp_path):
    state = random_like(meta_shapes("PE-Core-micro"))
    v = {n.removeprefix("visual."): t for n, t in state.items() if n.startswith("visual.")}
    path = saved(v if images_only else state, tmp_path / "PE-Core.pt")
    tower = load_tower("PE-Core-micro", path)
    expected = {
        "cls_token": v["class_embedding"].reshape(1, 1, 64),
        "pos_embed": v["positional_embedding"].reshape(1, 17, 64),
        "patch_embed.proj.weight": v["conv1.weight"],
        "attn_pool.latent": v["attn_pool.probe"],
        "attn_pool.q.weight": v["attn_pool.attn.in_proj_weight"][:64],
        "attn_pool.q.bias": v["attn_pool.attn.in_proj_bias"][:64],
        "attn_pool.kv.weight": v["attn_pool.attn.in_proj_weight"][64:],
        "attn_pool.kv.bias": v["attn_pool.attn.in_proj_bias"][64:],
        "head.weight": v["proj"].T,
        "head.bias": torch.zeros(48),  # Meta's projection has none
    }
    pairs = {"norm_pre": "ln_pre", "norm": "ln_post", "attn_pool.proj": "attn_pool.attn.out_proj"}
    pairs |= {"attn_pool.norm": "attn_pool.layernorm"}
    pairs |= {
        "attn_pool.mlp.fc1": "attn_pool.mlp.c_fc",
        "attn_pool.mlp.fc2": "attn_pool.mlp.c_proj",
    }
    for i in range(4):
        theirs = f"transformer.resblocks.{i}"
        pairs |= {f"blocks.{i}.norm1": f"{theirs}.ln_1", f"blocks.{i}.norm2": f"{theirs}.ln_2"}
        pairs |= {f"blocks.{i}.attn.proj": f"{theirs}.attn.out_proj"}
        pairs |= {f"blocks.{i}.mlp.fc1": f"{theirs}.mlp.c_fc"}
        pairs |= {f"blocks.{i}.mlp.fc2": f"{theirs}.mlp.c_proj"}
        expected[f"blocks.{i}.attn.qkv.weight"] = v[f"{theirs}.attn.in_proj_weight"]
        expected[f"blocks.{i}.attn.qkv.bias"] = v[f"{theirs}.attn.in_proj_bias"]
    for ours, theirs in pairs.items():
        expected |= {f"{ours}.{kind}": v[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    loaded = tower.state_dict()
    assert loaded.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(loaded[name], expected[name])] == []
    if not images_only:
        words = load_text_tower("PE-Core-micro", path).state_dict()
        assert all(torch.equal(tensor, state[name]) for name, tensor in words.items())


def test_googles_names_give_googles_features(tmp_path):
    from transformers import SiglipModel
    from transformers.models.siglip import SiglipConfig

    sizes = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 2}
    vision = sizes | {"num_hidden_layers": 4, "image_size": 32, "patch_size": 8}
    text = sizes | {"num_hidden_layers": 2, "vocab_size": 512, "max_position_embeddings": 64}
    text |= {"bos_token_id": 1, "eos_token_id": 2}
    theirs = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.1)  # zeros and ones would hide what is swapped
    path = saved(theirs.state_dict(), tmp_path / "model.safetensors")
    image = load_tower("SigLIP2-micro", path).eval()
    words = load_text_tower("SigLIP2-micro", path).eval()
    pixels, tokens = torch.randn(2, 3, 32, 32), torch.randint(512, (2, 64))
    with torch.inference_mode():
        expected = theirs(input_ids=tokens, pixel_values=pixels)
    cosine = nn.functional.cosine_similarity
    with torch.inference_mode():
        assert cosine(image(pixels), expected.image_embeds).min() > 1 - 1e-5
        assert cosine(words(tokens), expected.text_embeds).min() > 1 - 1e-5


def test_image_tower_never_builds_a_text_tower(tmp_path, monkeypatch):
    image, text = towers("PE-Core-micro")
    path = saved(open_clip_state(image, text), tmp_path / "w.safetensors")

    def refuse(*args, **kwargs):
        raise AssertionError("a text tower was built")

    monkeypatch.setattr("open_clip.transformer.TextTransformer.__init__", refuse)
    tower = load_tower("PE-Core-micro", path)
    assert sum(p.numel() for p in tower.parameters()) == sum(p.numel() for p in image.parameters())
    with pytest.raises(AssertionError, match="was built"):
        load_text_tower("PE-Core-micro", path)


def test_random_weights_are_asked_for_by_name():
    torch.manual_seed(5)
    one = load_tower("PE-Core-micro", "random")
    torch.manual_seed(5)
    assert_same(one, BACKBONES["PE-Core-micro"].build())
    assert load_text_tower("SigLIP2-micro", "random").width == 64


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("exploded"),))


def good() -> dict[str, Tensor]:
    return open_clip_state(*towers("PE-Core-micro"))


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {n: tensor for n, tensor in state.items() if n != name}


FAULTS = {
    "code": (lambda: {"visual.trunk.x": Bomb()}, "w.pt", "which could be code"),
    "no tensors": (lambda: [1, 2], "w.pt", "holds a list, not a dictionary of tensors"),
    "a number": (lambda: {"epoch": 3}, "w.pt", "'epoch' in it is not a tensor"),
    "unknown names": (
        lambda: {"a": torch.ones(1)},
        "w.safetensors",
        r"it has no image tower .* but a$",
    ),
    "unknown part": (lambda: good() | {"audio.x": torch.ones(1)}, "w.pt", "neither tower: audio.x"),
    "unknown tensor": (
        lambda: good() | {"visual.trunk.x": torch.ones(1)},
        "w.pt",
        "1 tensors are unknown: x",
    ),
    "missing tensor": (
        lambda: without(good(), "visual.trunk.norm.bias"),
        "w.safetensors",
        "1 tensors are missing: norm.bias",
    ),
    "integers": (
        lambda: good() | {"visual.trunk.norm.bias": torch.ones(64, dtype=torch.int8)},
        "w.pt",
        "norm.bias is of torch.int8, not torch.float32",
    ),
    "name": (good, "w.npz", "known endings are .safetensors, .pt, .pth, .bin"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_file_that_does_not_fit_is_named_with_its_fault(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, file, message = FAULTS[case]
    path = saved(make(), tmp_path / file)
    with pytest.raises(WeightsError, match=message) as caught:
        load_tower("PE-Core-micro", path)
    assert str(path) in str(caught.value)
    assert not Path("exploded").exists()


@pytest.mark.parametrize("file", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"\x80\x02not weights", b"<!DOCTYPE html>"])
def test_damaged_file_is_named(content, file, tmp_path):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(WeightsError, match=f"{file} (cannot be read|is damaged)"):
        load_tower("PE-Core-micro", tmp_path / file)


def test_pickle_from_before_torch_1_6_is_read_without_its_code(tmp_path):
    image, text = towers("PE-Core-micro")
    state = open_clip_state(image, text)
    torch.save(state, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    assert_same(load_tower("PE-Core-micro", tmp_path / "w.pt"), image)
    (tmp_path / "bad.pt").write_bytes(pickle.dumps({"x": Bomb()}, protocol=2))
    with pytest.raises(WeightsError, match="holds more than tensors"):
        load_tower("PE-Core-micro", tmp_path / "bad.pt")


def test_checkpoint_of_another_backbone_says_which(tmp_path):
    image, text = towers("SigLIP2-micro")
    path = saved(open_clip_state(image, text), tmp_path / "w.safetensors")
    message = r"pos_embed has shape \(1, 16, 64\), not \(1, 197, 768\)\. .* SigLIP2-micro\."
    with pytest.raises(WeightsError, match=message):
        load_tower("PE-Core-B-16", path)
    with pytest.raises(WeightsError, match=r"not \(32, 48\). They fit SigLIP2-micro\."):
        load_text_tower("PE-Core-micro", path)


def test_missing_file_is_named(tmp_path):
    for source in (tmp_path / "w.pt", tmp_path):
        with pytest.raises(WeightsError, match=r"there is no .*(w\.pt|open_clip_model)"):
            load_tower("PE-Core-micro", source)


def test_unknown_backbone_is_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'PE-Core-B-16'"):
        load_tower("PE-Core-B16", "random")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Set an empty cache of the model hub, and a network whose use fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path


@pytest.mark.parametrize("load", [load_tower, load_text_tower])
@pytest.mark.parametrize("name", ["PE-Core-L-14-336", "ViT-B-16-SigLIP2"])
def test_offline_and_absent_says_which_file_and_how_to_get_it(load, name, empty_cache):
    with pytest.raises(WeightsError) as caught:
        load(name)
    assert f"{name} needs its weights: {HUB_FILE} of timm/{name}" in str(caught.value)
    assert f"`hf download timm/{name} {HUB_FILE} --local-dir FOLDER`" in str(caught.value)


def test_weights_in_the_hubs_cache_are_found_without_a_network(empty_cache):
    repository = empty_cache / "models--timm--PE-Core-T-16-384"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    tower = BACKBONES["PE-Core-T-16-384"].build()
    state = {f"visual.trunk.{name}": tensor for name, tensor in tower.state_dict().items()}
    saved(state, snapshot / HUB_FILE)
    assert_same(load_tower("PE-Core-T-16-384"), tower)


def test_hub_is_asked_only_if_allowed(tmp_path, monkeypatch):
    asked = []

    def list_files(repository):
        asked.append(repository)
        raise ConnectionError("no route")

    monkeypatch.setattr("fsb_perception.downloads.list_files", list_files)
    with pytest.raises(WeightsError, match="is not on this machine"):
        load_tower("PE-Core-B-16")
    with pytest.raises(
        WeightsError, match=r"could not be downloaded: no route\. Where .* source\.$"
    ):
        load_tower("PE-Core-B-16", allow_download=True)
    assert asked == ["timm/PE-Core-B-16"]


def test_repositories_are_those_that_open_clip_knows():
    import open_clip

    for name, row in BACKBONES.items():
        if row.open_clip:
            published = open_clip.get_pretrained_cfg(name, row.pretrained)["hf_hub"]
            assert published == f"{hub_repository(row)}/"


@pytest.mark.parametrize("name", [*MICRO, "nano-vit-80"])
def test_unpublished_weights_must_be_given(name):
    with pytest.raises(WeightsError, match=r"no weights of .* are published"):
        load_tower(name)


def test_nano_has_no_text_tower():
    with pytest.raises(WeightsError, match="sees images only"):
        load_text_tower("nano-vit-80", "random")
