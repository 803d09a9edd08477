"""Features that a tower computes from faces: pooled as a t-SNE map, of patches as colours.

    pixels -> stem, blocks, norm -> tokens (n, t, w) -> attn_pool -> feature (n, width)
                                    | last h x w: one a patch          |
                                    PCA to 3 numbers = RGB             t-SNE to 2 numbers

van der Maaten and Hinton, "Visualizing data using t-SNE", JMLR 2008. The colours are those of Oquab
et al., "DINOv2", TMLR 2024: patches of like colour are alike to the tower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fsb_perception import samples
from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import DetectorConfig
from fsb_perception.progress import SILENT, Progress
from fsb_perception.samples.scenario import STILLS
from fsb_perception.towers.backbones import BACKBONES
from fsb_perception.towers.parts import inner_tower
from fsb_perception.towers.weights import RANDOM, load_tower
from fsb_perception.types import Face, Floats, Image
from fsb_training.data.faces import Source
from fsb_training.data.pictures import find_face, read_picture
from fsb_training.datasets.faceset import MISSING, DatasetError

MOST_FACES = 2000
"""Number of faces in a t-SNE map, at most: more take minutes and hide each other."""

_SEED = 0
_BATCH = 32
_FEWEST = 5  # faces that make a map


@dataclass(frozen=True)
class Tower:
    """A tower whose features are shown.

    Attributes:
        name: name that readers see.
        module: the tower: float32, in evaluation mode, on the CPU.
        preprocessing: alignment, size and normalisation of its faces.
        patch: side of a patch, in pixels; a patch becomes one token.
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    patch: int


@dataclass(frozen=True)
class FeatureMap:
    """Faces in the plane, near each other where their features are alike.

    Attributes:
        task: the task of the feature and the labels.
        xy: places, (n, 2).
        labels: index of the true class of each face, (n,).
    """

    task: str
    xy: Floats
    labels: NDArray[np.int64]


def tower_of(bundle: Bundle) -> Tower:
    """Return the tower of a bundle."""
    manifest = bundle.manifest
    patch = BACKBONES[manifest.backbone].patch
    return Tower(bundle.name, bundle.build_model().tower, manifest.preprocessing, patch)


def tower_before(reference: str, bundle: Bundle) -> Tower:
    """Return the tower that a bundle is compared with.

    Args:
        reference: a bundle's name or folder; or, for the unadapted tower of ``bundle``'s own
            backbone, a file of published weights, or "random" for weights without any training.
        bundle: its backbone and preprocessing are used if ``reference`` is no bundle.

    Raises:
        FsbError: there is no such bundle, or the file does not fit the backbone.
    """
    if reference != RANDOM and not Path(reference).is_file():
        return tower_of(load_bundle(reference))
    backbone = bundle.manifest.backbone
    torch.manual_seed(_SEED)
    module = load_tower(backbone, reference).eval()
    name = f"{backbone}, {Path(reference).name}"
    return Tower(name, module, bundle.manifest.preprocessing, BACKBONES[backbone].patch)


def feature_maps(
    tower: Tower,
    tasks: Sequence[str],
    sources: Sequence[Source],
    most: int = MOST_FACES,
    progress: Progress = SILENT,
) -> list[FeatureMap]:
    """Compute a map for each task of which a face has a label.

    Tasks that share the tower's feature and have labels of the same faces share their places too,
    which are computed once.

    Args:
        tower: computes the features.
        tasks: names of the tasks that the tower serves.
        sources: the faces.
        most: number of faces from all sources together, at most.
        progress: shows the faces that are done.
    """
    chosen = _choose([len(source) for source in sources], most)
    features = _pooled(tower, tasks, sources, chosen, progress)
    made: dict[tuple[int, bytes], Floats] = {}
    maps = []
    for task, rows in features.items():
        labels = np.concatenate(
            [_labels(source, task)[rows] for source, rows in zip(sources, chosen, strict=True)]
        )
        known = labels != MISSING
        if known.sum() >= _FEWEST:
            key = (id(rows), known.tobytes())
            if key not in made:
                made[key] = tsne(rows[known])
            maps.append(FeatureMap(task, made[key], labels[known]))
    return maps


def _choose(counts: Sequence[int], most: int) -> list[NDArray[np.int64]]:
    """Choose random rows of each data set: the same share of each, at most ``most`` in all."""
    rng = np.random.default_rng(_SEED)
    share = most // len(counts)
    return [np.sort(rng.permutation(count)[:share]) for count in counts]


def _labels(source: Source, task: str) -> NDArray[np.int64]:
    return source.faces.labels.get(task, np.full(len(source), MISSING, np.int64))


def _pooled(
    tower: Tower,
    tasks: Sequence[str],
    sources: Sequence[Source],
    chosen: Sequence[NDArray[np.int64]],
    progress: Progress,
) -> dict[str, Floats]:
    """Return features (n, width) by task; tasks that share features share the array."""
    aligner = tower.preprocessing.aligner
    faces = [
        (source, int(row))
        for source, picked in zip(sources, chosen, strict=True)
        for row in source.rows[picked]
    ]
    parts: list[Any] = []
    with torch.inference_mode(), progress.bar("features", len(faces)) as bar:
        for start in range(0, len(faces), _BATCH):
            pictures = [
                aligner.align(source.store.image(row), source.store.face(row))
                for source, row in faces[start : start + _BATCH]
            ]
            pixels = torch.from_numpy(tower.preprocessing.pixels(pictures))
            parts.append(tower.module(pixels))
            bar.advance(len(pictures))
    if isinstance(parts[0], dict):
        return {task: torch.cat([part[task] for part in parts]).numpy() for task in tasks}
    return dict.fromkeys(tasks, torch.cat(parts).numpy())


def tsne(features: Floats) -> Floats:
    """Return places (n, 2) of features (n, width) by cosine distance, the same at every call."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    made = TSNE(metric="cosine", init="pca", perplexity=perplexity, random_state=_SEED)
    return np.asarray(made.fit_transform(features), np.float32)


def sample_faces() -> list[tuple[Image, Face]]:
    """Return the photographs (BGR) that ship with the package, and the face in each."""
    detector = build_detector(DetectorConfig())
    faces = []
    for still in STILLS.values():
        path = Path(samples.__file__).with_name(still.file)
        image = read_picture(path)
        if image is None:
            raise DatasetError(f"{path} is missing or no picture: install the package again")
        box, landmarks = find_face(image, detector)
        faces.append((image, Face(box, 1.0, landmarks)))
    return faces


def patch_tokens(tower: Tower, pictures: Sequence[Image]) -> Floats:
    """Return the features of patches that the tower pools, (n, h, w, width).

    The class token and prompts, which come before the patches, are left out. If each task has its
    own tokens, the mean over the tasks is returned.

    Args:
        tower: a tower of any row of `BACKBONES`, adapted or not.
        pictures: aligned faces.
    """
    seen: list[torch.Tensor] = []
    pool = inner_tower(tower.module).attn_pool
    hook = pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.inference_mode():
            tower.module(torch.from_numpy(tower.preprocessing.pixels(pictures)))
    finally:
        hook.remove()
    side = tower.preprocessing.size // tower.patch
    tokens = seen[0][:, -side * side :].unflatten(0, (-1, len(pictures))).mean(dim=0)
    return tokens.unflatten(1, (side, side)).numpy()


def patch_colours(tower: Tower, pictures: Sequence[Image]) -> Floats:
    """Return three principal components of the patch features as RGB in [0, 1], (n, h, w, 3).

    The components are computed over all pictures, so that a colour means the same in each.
    """
    from sklearn.decomposition import PCA

    tokens = patch_tokens(tower, pictures)
    parts = PCA(3).fit_transform(tokens.reshape(-1, tokens.shape[-1]))
    low, high = parts.min(axis=0), parts.max(axis=0)
    return np.asarray((parts - low) / (high - low), np.float32).reshape(*tokens.shape[:3], 3)
