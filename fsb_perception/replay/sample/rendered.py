"""Rendered people for a sample, with exact gender, age and expression; none of them is real.

    gender, years, weight, expression --> Anny --> mesh of the head --> rays --> `portrait_of`

Anny (Brégier et al., "Human Mesh Modeling for Anny Body", 2025, https://arxiv.org/abs/2511.03589,
Apache-2.0) is a body model over MakeHuman's shapes, which are CC0; the package holds all its data.
An expression is a usual combination of action units (Ekman and Friesen's FACS). A rendered face is
far from a photograph. It shows that answers follow a change, in a clip whose truth is known; it
shows little about how good the answers are on people.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsb_perception.detection import build_detector
from fsb_perception.detection.base import DetectorConfig
from fsb_perception.replay.sample.people import Person, SampleError
from fsb_perception.replay.sample.photos import portrait_of
from fsb_perception.replay.sample.rendered_heads import Bgr, Head, draw
from fsb_perception.tasks import TASKS, age_group

_PACKAGES = ("anny", "embreex", "trimesh")


@dataclass(frozen=True)
class Look:
    """The description of a rendered person.

    Attributes:
        name: becomes the identity.
        gender: a label of that task.
        years: of age.
        weight: 0 to 1.
        skin: colour, BGR from 0 to 255.
        hair: colour, BGR from 0 to 255.
        expressions: labels of the task emotion, shown one after the other.

    >>> LOOKS[0].name, LOOKS[0].years, LOOKS[0].expressions
    ('anna', 25, ('neutral', 'happiness'))
    """

    name: str
    gender: str
    years: int
    weight: float
    skin: Bgr
    hair: Bgr
    expressions: tuple[str, ...]


LOOKS = (
    Look("anna", "female", 25, 0.4, (140, 170, 222), (30, 45, 70), ("neutral", "happiness")),
    Look("bela", "male", 75, 0.5, (135, 165, 210), (190, 190, 190), ("neutral", "surprise")),
    Look("carl", "male", 45, 0.7, (70, 100, 150), (20, 20, 25), ("anger", "neutral", "happiness")),
    Look("dora", "female", 7, 0.5, (125, 160, 215), (60, 110, 160), ("happiness", "sadness")),
    Look("emil", "male", 25, 0.3, (95, 130, 185), (25, 30, 40), ("neutral", "fear", "disgust")),
    Look("fran", "female", 65, 0.6, (60, 85, 125), (120, 120, 125), ("neutral", "sadness")),
)

# Names of ARKit's blend shapes, without Left and Right where a face does the same on both sides.
EXPRESSIONS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "neutral": {},
        "happiness": {"cheekSquint": 0.8, "mouthSmile": 1.0, "eyeSquint": 0.3},
        "sadness": {"browInnerUp": 1.0, "browDown": 0.3, "mouthFrown": 1.0},
        "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.6},
        "fear": {
            "browInnerUp": 1.0, "browOuterUp": 0.5, "browDown": 0.4, "eyeWide": 1.0,
            "mouthStretch": 0.9, "jawOpen": 0.25,
        },
        "disgust": {"noseSneer": 1.0, "mouthUpperUp": 0.7, "mouthFrown": 0.4, "browDown": 0.4},
        "anger": {"browDown": 1.0, "eyeWide": 0.3, "noseSneer": 0.4, "mouthPress": 0.8},
    }
)  # fmt: skip

# MakeHuman's targets are of these ages; Anny has them at even steps.
_YEARS, _AGES = (1, 10, 25, 90), (0.0, 1 / 3, 2 / 3, 1.0)


def rendered_people() -> list[Person]:
    """Render six people with two or three expressions each; about a second an expression.

    Raises:
        SampleError: the packages that render them are missing.
        DetectorError: the detector's model is missing.
    """
    maker = Maker()
    return [maker.person(look) for look in LOOKS]


class Maker:
    """Renders people; `SampleError` where the packages are missing."""

    def __init__(self) -> None:
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
        if missing:
            raise SampleError(
                f"rendered people need {', '.join(missing)}, which this environment lacks: "
                "pip install -r requirements/rendered.txt"
            )
        # By name: they have no types, and few environments have them.
        anny: Any = importlib.import_module("anny")
        # Without Warp, which would compile its kernels first.
        self._model = anny.Anny(facial_actions="all", skinning_method="lbs").float()
        self._eyeballs = self._moved_by("eye.L") | self._moved_by("eye.R")
        self._detector = build_detector(DetectorConfig())

    def person(self, look: Look) -> Person:
        """Render a person with that look: one portrait for each expression."""
        known = {
            "gender": look.gender,
            "age_group": TASKS["age_group"].labels[age_group(look.years)],
        }
        portraits = []
        for expression in look.expressions:
            image = draw(self.head(look, expression), look.skin, look.hair)
            portrait = portrait_of(image, self._detector)
            if portrait is None:
                raise SampleError(f"no face is found in the rendered {look.name}: {expression}")
            portraits.append(portrait)
        attributes = tuple(known | {"emotion": expression} for expression in look.expressions)
        return Person(look.name, tuple(portraits), attributes)

    def head(self, look: Look, expression: str) -> Head:
        """Make the mesh of a head with an expression."""
        shape = {
            "gender": float(TASKS["gender"].labels.index(look.gender)),
            "age": float(np.interp(look.years, _YEARS, _AGES)),
            "weight": look.weight,
        }
        still, moved = (self._body(shape, name) for name in ("neutral", expression))
        bones = self._model.bone_labels
        places = moved["bone_poses"][0, :, :3, 3].double().numpy()
        eyes = np.stack([places[bones.index(name)] for name in ("eye.L", "eye.R")])
        vertices, rest = (body["vertices"][0].double().numpy() for body in (moved, still))
        return Head(vertices, rest, np.asarray(self._model.faces), eyes, self._eyeballs)

    def _moved_by(self, bone: str) -> NDArray[np.bool_]:
        """Return whether this bone moves each vertex more than all others together."""
        model = self._model
        is_bone = model.vertex_bone_indices == model.bone_labels.index(bone)
        return np.asarray((model.vertex_bone_weights * is_bone).sum(1) > 0.5)

    def _body(self, shape: Mapping[str, float], expression: str) -> Any:
        import torch

        phenotype = dict.fromkeys(self._model.phenotype_labels, 0.5) | dict(shape)
        known = self._model.facial_action_labels
        actions = {
            name: strength
            for start, strength in EXPRESSIONS[expression].items()
            for name in (start, f"{start}Left", f"{start}Right")
            if name in known
        }
        pose = torch.eye(4).repeat(1, self._model.bone_count, 1, 1)
        with torch.inference_mode():
            return self._model(
                pose_parameters=pose, phenotype_kwargs=phenotype, facial_actions=actions
            )
