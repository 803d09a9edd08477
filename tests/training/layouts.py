"""Tiny data sets in the published layouts: pictures of noise, labels that the tests choose."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

FAIRFACE_HEADER = ("file", "age", "gender", "race", "service_test")
FERPLUS_HEADER = (
    "Usage", "Image name", "neutral", "happiness", "surprise", "sadness", "anger", "disgust",
    "fear", "contempt", "unknown", "NF",
)  # fmt: skip


def picture(path: Path, seed: int, side: int = 48) -> None:
    """A smooth picture of noise: two seeds differ in every feature, and JPEG keeps them apart."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))


def table(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def fairface(root: Path, part: str = "train", count: int = 8) -> None:
    """FairFace with ``count`` faces whose ages and genders take turns."""
    ages = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70")
    rows = []
    for n in range(count):
        file = f"{part}/{n + 1}.jpg"
        picture(root / "FairFace" / file, seed=n)
        rows.append((file, ages[n % 9], ("Male", "Female")[n % 2], "Indian", "FALSE"))
    table(root / "FairFace" / f"fairface_label_{part}.csv", FAIRFACE_HEADER, rows)


def utkface(root: Path, count: int = 8) -> None:
    """UTKFace with ``count`` faces of 1, 11, 21, ... years."""
    for n in range(count):
        name = f"{10 * n + 1}_{n % 2}_{n % 5}_2017010900000{n:04}.jpg.chip.jpg"
        picture(root / "UTKFace" / name, seed=100 + n)


def ferplus(root: Path, count: int = 8) -> None:
    """FER+ with ``count`` faces of each usage, all of clear emotions in turn."""
    rows: list[tuple[object, ...]] = []
    folders = {
        "Training": "FER2013Train",
        "PublicTest": "FER2013Valid",
        "PrivateTest": "FER2013Test",
    }
    for usage, folder in folders.items():
        for n in range(count):
            name = f"fer{len(rows):07}.png"
            picture(root / "FERPlus" / folder / name, seed=1000 + len(rows))
            votes = [0] * 10
            votes[n % 7], votes[(n + 1) % 7] = 8, 2
            rows.append((usage, name, *votes))
    table(root / "FERPlus" / "fer2013new.csv", FERPLUS_HEADER, rows)


def everything(root: Path, count: int = 8) -> Path:
    """All data sets below ``root``, which is returned."""
    fairface(root, "train", count)
    fairface(root, "val", count)
    utkface(root, count)
    ferplus(root, count)
    return root
