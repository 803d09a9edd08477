from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.text import (
    build_text_tower,
    encode_embeddings,
    encode_text,
    text_config,
    tokenizer,
)
from fsb_perception.towers.weights import WeightsError
from tests.towers import MICRO

mend_torchvision()

DISTINCT = ["PE-Core-T-16-384", "PE-Core-B-16", "ViT-B-16-SigLIP2", "ViT-SO400M-14-SigLIP2-378"]
END = 49407  # SimpleTokenizer's end of text


@pytest.fixture
def words(tmp_path):
    """Write a tokenizer of a handful of words, in the files of a download."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<pad>", "<unk>", "a", "face", "old", "young"])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", unk_token="<unk>")
    wrapped.save_pretrained(tmp_path / "words")
    return tmp_path / "words"


def tower_and_tokens(name):
    torch.manual_seed(3)
    row = BACKBONES[name]
    tower = build_text_tower(row).eval()
    tokens = torch.randint(1, 500, (5, row.text["context_length"]))
    if row.family == "PE-Core":
        tokens[:, 9] = END
        tokens[:, 10:] = 0
    return tower, tokens


@pytest.mark.parametrize("name", MICRO)
def test_tower_computes_what_open_clips_does(name):
    import open_clip

    row = BACKBONES[name]
    vision = {"layers": 1, "width": 64, "patch_size": 8, "image_size": 8}
    model = open_clip.CustomTextCLIP(row.width, vision, dict(row.text)).eval()
    tower, tokens = tower_and_tokens(name)
    tower.load_state_dict(model.text.state_dict())
    assert torch.equal(encode_text(tower, tokens), model.encode_text(tokens))


@pytest.mark.parametrize("name", DISTINCT)
def test_tower_is_the_one_that_open_clip_builds(name):
    import open_clip

    config = open_clip.get_model_config(name)
    vision = {"layers": 1, "width": 64, "patch_size": 8, "image_size": 8}
    with torch.device("meta"):
        theirs = open_clip.CustomTextCLIP(config["embed_dim"], vision, config["text_cfg"]).text
        ours = build_text_tower(BACKBONES[name])
    assert repr(ours) == repr(theirs)
    assert {n: t.shape for n, t in ours.state_dict().items()} == {
        n: t.shape for n, t in theirs.state_dict().items()
    }
    for name in ("context_length", "pool_type", "eos_id", "pad_id", "use_pad_mask", "heads"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.attn_mask is None) == (theirs.attn_mask is None)


@pytest.mark.parametrize("name", MICRO)
def test_its_own_embeddings_give_its_own_features(name):
    tower, tokens = tower_and_tokens(name)
    with torch.no_grad():
        expected = encode_text(tower, tokens)
        assert expected.shape == (5, BACKBONES[name].width)
        assert torch.equal(
            encode_embeddings(tower, tower.token_embedding(tokens), tokens), expected
        )
        assert torch.equal(encode_text(tower, tokens), expected), "the hook has stayed"


@pytest.mark.parametrize("name", MICRO)
def test_gradient_reaches_the_embeddings_before_the_end_of_text(name):
    tower, tokens = tower_and_tokens(name)
    embeddings = tower.token_embedding(tokens).detach().requires_grad_()
    encode_embeddings(tower.requires_grad_(False), embeddings, tokens).square().sum().backward()
    reached = embeddings.grad.abs().sum(dim=(0, 2)) > 0
    read = 10 if BACKBONES[name].family == "PE-Core" else len(reached)  # causal, or all of it
    assert reached[:read].all()
    assert not reached[read:].any()


def test_prompts_change_the_features_and_a_failure_leaves_no_hook():
    tower, tokens = tower_and_tokens("PE-Core-micro")
    plain = encode_text(tower, tokens)
    embeddings = tower.token_embedding(tokens)
    embeddings[:, 1:4] = torch.randn(3, embeddings.shape[-1])
    assert not torch.allclose(encode_embeddings(tower, embeddings, tokens), plain)
    with pytest.raises(RuntimeError):
        encode_embeddings(tower, embeddings[:, :, :7], tokens)
    assert torch.equal(encode_text(tower, tokens), plain)


@pytest.mark.parametrize(("name", "context"), [("PE-Core-B-16", 32), ("PE-Core-bigG-14-448", 72)])
def test_pe_core_has_its_tokenizer_at_hand(name, context):
    tokens = tokenizer(BACKBONES[name])(["a face", "an old face " * 50])
    assert tokens.shape == (2, context)
    assert tokens.dtype == torch.int64
    assert tokens[0].argmax() == 3
    assert tokens[1, -1] == END, "cut, but ended"


def test_siglip2_takes_a_tokenizer_from_a_folder(words):
    row = BACKBONES["SigLIP2-micro"]
    tokens = tokenizer(row, words)(["A face!", "unheard old face " * 50])
    assert tokens.shape == (2, 64)
    assert tokens.dtype == torch.int64
    assert tokens[0].tolist() == [2, 3] + [0] * 62  # lower case, no punctuation: canonical
    assert tokens[1, :4].tolist() == [1, 4, 3, 1]
    assert encode_text(build_text_tower(row), tokens).shape == (2, row.width)


def test_tokenizer_of_another_model_is_refused(words):
    from dataclasses import replace

    row = BACKBONES["SigLIP2-micro"]
    with pytest.raises(WeightsError, match="has 6 tokens, the text tower knows 5"):
        tokenizer(replace(row, text={**row.text, "vocab_size": 5}), words)


def test_tokenizer_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match=r"hf download timm/ViT-B-16-SigLIP2 tokenizer\.json"):
        tokenizer(BACKBONES["ViT-B-16-SigLIP2"])
    with pytest.raises(WeightsError, match="give a folder"):
        tokenizer(BACKBONES["SigLIP2-micro"])
    with pytest.raises(WeightsError, match=r"there is no tokenizer\.json and no tokenizer_config"):
        tokenizer(BACKBONES["SigLIP2-micro"], tmp_path)


def test_damaged_tokenizer_is_named(words):
    (words / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"words cannot be read"):
        tokenizer(BACKBONES["SigLIP2-micro"], words)


def test_nano_has_no_text():
    for refused in (text_config, build_text_tower, tokenizer):
        with pytest.raises(WeightsError, match="choose one of the PE-Core or SigLIP2"):
            refused(BACKBONES["nano-vit-80"])
