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
    """Write a smooth picture of noise; pictures of two seeds differ even after JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))


def table(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    """Write a CSV file."""
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
    """Write FairFace, UTKFace and FER+ below ``root``; return it."""
    fairface(root, "train", count)
    fairface(root, "val", count)
    utkface(root, count)
    ferplus(root, count)
    return root


def rafdb(root: Path, count: int = 8, folder: str = "RAF-DB") -> Path:
    """RAF-DB with ``count`` faces of each part, of emotions 1 to 7 in turn; returns its table."""
    lines = []
    for part, digits in (("train", 5), ("test", 4)):
        for n in range(count):
            name = f"{part}_{n + 1:0{digits}}"
            picture(root / folder / f"Image/aligned/{name}_aligned.jpg", seed=2000 + n, side=100)
            lines.append(f"{name}.jpg {n % 7 + 1}\n")
    return text(root / folder / "EmoLabel/list_patition_label.txt", *lines)


CELEBA_NAMES = (*(f"Attribute_{n}" for n in range(20)), "Male", *(f"A_{n}" for n in range(19)))


def celeba_row(n: int, male: str) -> str:
    """Return a row of CelebAMask-HQ's attributes; two spaces follow the name, as published."""
    return f"{n}.jpg  {' '.join(male if a == 'Male' else '-1' for a in CELEBA_NAMES)}\n"


def celeba_hq(root: Path, originals: tuple[int, ...] = (1, 162770, 162771, 182637, 182638)) -> Path:
    """CelebA-HQ with a face of each CelebA picture in ``originals``, men and women in turn."""
    folder = root / "CelebAMask-HQ"
    mapping = ["idx         orig_idx    orig_file\n"]
    for n, original in enumerate(originals):
        picture(folder / f"CelebA-HQ-img/{n}.jpg", seed=3000 + n, side=96)
        mapping.append(f"{n:<11} {original - 1:<11} {original:06}.jpg\n")
    text(folder / "CelebA-HQ-to-CelebA-mapping.txt", *mapping)
    rows = [celeba_row(n, ("1", "-1")[n % 2]) for n in range(len(originals))]
    header = (f"{len(originals)}\n", " ".join(CELEBA_NAMES) + "\n")
    return text(folder / "CelebAMask-HQ-attribute-anno.txt", *header, *rows)


def lfw(root: Path) -> Path:
    """LFW with two men, two pictures of a woman; returns its folder."""
    folder = root / "lfw"
    names = {
        "male": ["Aaron_Eckhart_0001.jpg", "Abel_Pacheco_0001.jpg"],
        "female": ["Zhang_Ziyi_0001.jpg", "Zhang_Ziyi_0002.jpg"],
    }
    for gender, files in names.items():
        text(folder / f"{gender}_names.txt", *(f"{file}\n" for file in files))
    for n, file in enumerate([*names["male"], *names["female"]]):
        picture(folder / file[:-9] / file, seed=4000 + n, side=96)
    return folder


VGGFACE2_HEADER = "Class_ID, Name, Sample_Num, Flag, Gender\n"


def vggface2(root: Path, meta: tuple[str, ...] | None = None, ages: str | None = None) -> Path:
    """VGGFace2's test part with two pictures of n000001 and n000009; returns its folder."""
    rows = (
        'n000001, "14th_Dalai_Lama", 424, 0, m\n',
        'n000009, "A_Name,_With_Commas,_Two", 315, 0, f\n',
    )
    folder = root / "VGGFace2"
    text(folder / "identity_meta.csv", VGGFACE2_HEADER, *(rows if meta is None else meta))
    for n, person in enumerate(("n000001", "n000009")):
        for k in (1, 2):
            picture(folder / f"test/{person}/000{k}_01.jpg", seed=5000 + 10 * n + k, side=96)
    if ages is not None:
        text(folder / "test.age_detected.csv", ages)
    return folder


def own_table(root: Path, lines: str, part: str = "train", pictures: int = 4) -> Path:
    """CSV/``part``.csv with these lines, and pictures 0.jpg, 1.jpg, ...; returns the table."""
    for n in range(pictures):
        picture(root / f"CSV/{n}.jpg", seed=6000 + n)
    return text(root / f"CSV/{part}.csv", lines)


def text(path: Path, *lines: str) -> Path:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def every_published(root: Path, count: int = 8) -> Path:
    """Write every published data set below ``root``; return it."""
    everything(root, count)
    rafdb(root, count)
    celeba_hq(root)
    lfw(root)
    vggface2(root, ages="n000001/0001_01.jpg,57.3\nn000009/0001_01.jpg,9.9\n")
    return root
