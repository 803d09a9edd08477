"""The text towers of PE-Core and SigLIP2, and their tokenizers.

Text is needed while training (prompts, zero-shot), never on the robot: bundles hold its features.
The tower is open_clip's ``TextTransformer``, built without the image tower beside it::

    tokens (n, L) -> embeddings + positions -> blocks -> norm -> one token -> projection (n, width)

PE-Core reads from left to right, 32 tokens (bigG 72), and keeps the end-of-text token; SigLIP2
reads both ways, 64 tokens, and keeps the last.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fsb_perception._torchvision import mend_torchvision
from fsb_perception.towers.checkpoint_files import WeightsError, absent

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fsb_perception.towers.backbones import Backbone


class Tokenizer(Protocol):
    """Texts to token ids, int64 (n, context), cut or filled behind; open_clip's are such."""

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        """Rows of ``context_length`` ids; by default of the tower's own number of them."""


_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def text_config(row: Backbone) -> dict[str, Any]:
    """open_clip's ``text_cfg`` of a backbone's text tower: ``context_length``, ``width``, ...

    Raises:
        WeightsError: the backbone has no text tower.
    """
    if not row.has_text:
        raise WeightsError(
            "this backbone sees images only: for a method that reads text "
            "choose one of the PE-Core or SigLIP2 families"
        )
    mend_torchvision()  # whoever asks for this goes on to import open_clip
    if row.text:
        return dict(row.text)
    import open_clip

    return dict(open_clip.get_model_config(row.open_clip)["text_cfg"])


def build_text_tower(row: Backbone) -> nn.Module:
    """A backbone's text tower with random weights, alone.

    open_clip makes one only inside a whole model, or by a private function; this is what that does
    with the settings that occur in the two families. Any other is refused by ``TextTransformer``.

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
    """Features (n, width) of token ids (n, context), not normalised."""
    return tower(tokens)


def encode_embeddings(tower: nn.Module, embeddings: Tensor, tokens: Tensor) -> Tensor:
    """Features of token embeddings, some of which may be continuous prompts.

    open_clip's own forward does all of it: a hook puts the embeddings where its table's would be.
    Gradients flow into ``embeddings``.

    Args:
        tower: of `build_text_tower`.
        embeddings: (n, context, tower width), without positions.
        tokens: (n, context), the ids that the embeddings stand for: they say where the text ends.
            Any id that is no end of text will do for a prompt.

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
    """What turns texts into a backbone's token ids.

    Args:
        row: PE-Core's and nano's ships with open_clip. SigLIP2's is Gemma's, of 256000 tokens, and
            does not.
        source: folder of SigLIP2's tokenizer; by default it is looked for in the model hub's cache.
        allow_download: get it from the hub if it is not there.

    Raises:
        WeightsError: it is not at hand, cannot be read, or has more tokens than the text tower.
    """
    settings = text_config(row)
    context = settings["context_length"]
    if row.family != "SigLIP2":
        from open_clip import SimpleTokenizer

        return SimpleTokenizer(context_length=context)
    place = _folder(source) if source else settings.get("hf_tokenizer_name", "")
    if not place:
        raise WeightsError(
            "nobody has published a tokenizer for this miniature: give a folder with one, "
            f"holding {' and '.join(_TOKENIZER_FILES)}, as the source"
        )
    options = {"clean": "canonicalize"} | settings.get("tokenizer_kwargs", {})
    made = _hugging_face(place, allow_download or bool(source), context_length=context, **options)
    if len(made.tokenizer) > settings["vocab_size"]:
        raise WeightsError(
            f"the tokenizer of {place} has {len(made.tokenizer)} tokens, the text tower knows "
            f"{settings['vocab_size']}: it belongs to another model"
        )
    return made


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

    try:
        return HFTokenizer(place, local_files_only=not online, trust_remote_code=False, **options)
    except Exception as error:  # a damaged file shows itself by whatever the library stumbles over
        if Path(place).is_dir():
            raise WeightsError(f"the tokenizer in {place} cannot be read: {error!r}") from None
        raise absent("the tokenizer", place, _TOKENIZER_FILES, error if online else None) from None
