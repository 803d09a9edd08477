"""The text towers of PE-Core and SigLIP2, and their tokenizers.

Only training needs text (prompts, zero-shot); the robot never does, since bundles hold the text
features. The tower is open_clip's ``TextTransformer``, built without the image tower beside it::

    tokens (n, L) -> embeddings + positions -> blocks -> norm -> one token -> projection (n, width)

PE-Core reads from left to right, 32 tokens (bigG 72), and keeps the end-of-text token; SigLIP2
reads both ways, 64 tokens, and keeps the last.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.towers.checkpoint_files import WeightsError, absent, hub_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fsb_perception.towers.backbones import Backbone


if TYPE_CHECKING:

    class TextTower(nn.Module):
        """The attributes of open_clip's ``TextTransformer`` that this project uses."""

        token_embedding: nn.Embedding
        output_dim: int


class Tokenizer(Protocol):
    """A function from texts to token ids, int64 (n, context), such as open_clip's tokenizers."""

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        """Return a row of ids for each text, cut or filled behind.

        Args:
            texts: n of them.
            context_length: ids in a row; by default as many as the text tower reads.
        """


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def text_config(row: Backbone) -> dict[str, Any]:
    """Return open_clip's ``text_cfg`` of a backbone: ``context_length``, ``width``, ...

    Raises:
        WeightsError: the backbone has no text tower.
    """
    if not row.has_text:
        raise WeightsError(
            "this backbone sees images only: for a method that reads text "
            "choose one of the PE-Core or SigLIP2 families"
        )
    mend_torchvision()  # the callers go on to import open_clip
    if row.text:
        return dict(row.text)
    import open_clip

    return dict(open_clip.get_model_config(row.open_clip)["text_cfg"])


def build_text_tower(row: Backbone) -> nn.Module:
    """Build a backbone's text tower alone, with random weights.

    open_clip makes one only inside a whole model, or by a private function. This function does the
    same with the settings of the two families; ``TextTransformer`` refuses any other setting.

    Returns:
        open_clip's ``TextTransformer``: tokens (n, context) -> features (n, row.width), not
        normalised.
    """
    settings = text_config(row)
    from open_clip.transformer import LayerNorm, TextTransformer
    from torch import nn

    for name in ("hf_tokenizer_name", "tokenizer_kwargs"):
        settings.pop(name, None)
    return TextTransformer(
        output_dim=row.width,
        act_layer=partial(nn.GELU, **settings.pop("act_kwargs", {})),
        norm_layer=partial(LayerNorm, **settings.pop("norm_kwargs", {})),
        **settings,
    )


def encode_text(tower: nn.Module, tokens: Tensor) -> Tensor:
    """Return features (n, width), not normalised, of token ids (n, context)."""
    return tower(tokens)


def encode_embeddings(tower: nn.Module, embeddings: Tensor, tokens: Tensor) -> Tensor:
    """Return features of token embeddings, some of which may be continuous prompts.

    open_clip's own forward computes them; a hook puts the embeddings in the place of its table's.
    Gradients flow into ``embeddings``.

    Args:
        tower: of `build_text_tower`.
        embeddings: (n, context, tower width), without positions.
        tokens: (n, context), the ids that the embeddings stand for; the tower finds the text's end
            in them. The id of a prompt may be any that does not end a text.

    Returns:
        (n, width), not normalised.
    """
    table = tower.get_submodule("token_embedding")
    hook = table.register_forward_hook(lambda *_: embeddings)
    try:
        return tower(tokens)
    finally:
        hook.remove()


def tokenizer(row: Backbone, source: str | Path = "", allow_download: bool = False) -> Tokenizer:
    """Return the tokenizer of a backbone's text tower.

    Args:
        row: the tokenizer of PE-Core and nano ships with open_clip. SigLIP2's is Gemma's, of 256000
            tokens, and does not.
        source: folder of SigLIP2's tokenizer; by default the model hub's cache is searched.
        allow_download: get it from the hub if the cache lacks it.

    Raises:
        WeightsError: it is missing, cannot be read, or has more tokens than the text tower.
    """
    settings = text_config(row)
    context = settings["context_length"]
    if row.family != "SigLIP2":
        from open_clip import SimpleTokenizer

        return SimpleTokenizer(context_length=context)
    place = _folder(source) if source else settings.get("hf_tokenizer_name", "")
    if not place:
        raise WeightsError(
            "no tokenizer is published for this miniature: give a folder that holds "
            f"{' and '.join(_TOKENIZER_FILES)} as the source"
        )
    options = {"clean": "canonicalize"} | settings.get("tokenizer_kwargs", {})
    loaded = _hugging_face(place, allow_download or bool(source), context_length=context, **options)
    if len(loaded.tokenizer) > settings["vocab_size"]:
        raise WeightsError(
            f"the tokenizer of {place} has {len(loaded.tokenizer)} tokens, the text tower knows "
            f"{settings['vocab_size']}: it belongs to another model"
        )
    return loaded


def _folder(source: str | Path) -> str:
    folder = Path(source).expanduser()
    missing = [name for name in _TOKENIZER_FILES if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} is no tokenizer's folder: there is no {' and no '.join(missing)} in it"
        )
    return str(folder)


def _hugging_face(place: str, online: bool, **options: Any) -> Any:
    mend_torchvision()
    from open_clip.tokenizer import HFTokenizer

    if online and not Path(place).is_dir():
        # Fetched here, since the library takes a server's ETag for the name of a file.
        for name in _TOKENIZER_FILES:
            folder = hub_file(place, name, allow_download=True).parent
        place = str(folder)
    try:
        return HFTokenizer(place, local_files_only=not online, trust_remote_code=False, **options)
    except Exception as error:  # a damaged file may cause any error in the library
        if Path(place).is_dir():
            raise WeightsError(f"the tokenizer in {place} cannot be read: {error!r}") from None
        raise absent("the tokenizer", place, _TOKENIZER_FILES, error if online else None) from None
