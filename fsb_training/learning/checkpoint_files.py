"""Checkpoints as files: read by the run that wrote them, or for a part of it by another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from fsb_perception.errors import error_line
from fsb_perception.model import MultitaskEncoder
from fsb_perception.sealed import is_intact
from fsb_training.errors import TrainingError

CHECKPOINT = "checkpoint.pt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what `checkpoints.save` wrote.

    Raises:
        TrainingError: the file is damaged.
        OSError: it cannot be opened.
    """
    try:
        if not is_intact(path):
            raise ValueError("its content is not that of its checksum")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise  # names its file itself
    except Exception as error:  # torch raises whatever a damaged byte leads its reader to
        reason = error_line(error).splitlines()[0]
        raise TrainingError(
            f"{path} is damaged ({reason}): put back a copy, or remove it to begin again"
        ) from error


@torch.no_grad()
def take_text(encoder: MultitaskEncoder, run: Path) -> None:
    """Give an encoder the learned text side of a finished run: its best, else its last average.

    Args:
        encoder: in its training form, with text heads that learn.
        run: folder of a run on the same backbone and tasks.

    Raises:
        TrainingError: there is no checkpoint, or its text side is of another shape.
    """
    path = run.expanduser() / CHECKPOINT
    if not path.is_file():
        raise TrainingError(f"weights.prompts: there is no {path}: name the folder of a run")
    saved = read_checkpoint(path)
    values = {**saved["average"], **saved.get("best", {})}
    for name, parameter in encoder.named_parameters():
        if not parameter.requires_grad or not name.startswith(("text.", "heads.")):
            continue
        value = values.get(f"encoder.{name}")
        if value is None or value.shape != parameter.shape:
            seen = "no such prompts" if value is None else f"shape {tuple(value.shape)}"
            raise TrainingError(
                f"weights.prompts: {path} has {seen} for {name} {tuple(parameter.shape)}: train "
                "it with the same backbone, tasks and options of the text side"
            )
        parameter.copy_(value)
