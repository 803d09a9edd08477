"""A small recipe, and the line that `fsb-train` prints where it refuses something."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from fsb_training import cli

LORA = {
    "name": "small",
    "backbone": "PE-Core-micro",
    "adapter": {"method": "lora", "rank": 4},
    "head": "mlp",
    "weights": {"tower": "random", "text": "random"},
    "data": {"shares": {"FairFace": 1.0, "UTKFace": 1.0, "FERPlus": 1.0}, "dev_share": 0.3},
    "sizes": [32],
    "stage_shares": [1.0],
    "optimiser": {"images": 16, "batch_size": 8, "warmup_images": 0},
    "licence": "none",
}


def written(folder: Path) -> Path:
    """Write the small recipe into ``folder``."""
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(LORA), encoding="utf-8")
    return path


def refusal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str
) -> str:
    """Run `fsb-train`, which must end with status 2; return its error output."""
    monkeypatch.setattr(sys, "argv", ["fsb-train", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    return output.err
