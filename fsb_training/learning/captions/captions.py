"""Captions from labels: random sentences on a picture, from a random part of its facts.

    facts of a face    gender  race     stage    mood      years  colour           light
                       female  Black    adult    pleasant  34     black and white  -
    a caption          "a cropped photo of a Black woman who looks pleasant"
    what it mentions   female  Black    adult    pleasant  -      -                -

The facts are coarse on purpose: four stages of life and four moods, where the tasks have nine age
groups and seven emotions. So whatever an adapted system knows beyond them comes from its
adaptation.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fsb_perception.tasks import TASKS
from fsb_perception.types import Image
from fsb_training.datasets.faceset import MISSING, FaceSet

Facts = NDArray[np.int16]
"""(..., len(FACTS)): a number for each fact, `MISSING` where unknown or not mentioned."""

GENDERS = TASKS["gender"].labels
RACES = ("White", "Black", "Asian", "Indian", "Middle Eastern", "Latino")
STAGES = ("child", "teenager", "adult", "elder")
MOODS = ("pleasant", "unpleasant", "surprised", "calm")
COLOURS = ("colour", "black and white")
LIGHTS = ("dark", "bright")

FACTS = ("gender", "race", "stage", "mood", "years", "colour", "light")
TOLERANCE = np.array([0, 0, 0, 0, 2, 0, 0])
"""Allowed distance of a fact from the caption: a picture does not show if a person is 34 or 35."""

VALUES = tuple(map(len, (GENDERS, RACES, STAGES, MOODS, (), COLOURS, LIGHTS)))
"""Number of values of each fact; 0 for years, which are a number."""

_RACE_NAMES = {  # FairFace's and UTKFace's; UTKFace's "Others" are unknown
    "White": "White",
    "Black": "Black",
    "Asian": "Asian",
    "East Asian": "Asian",
    "Southeast Asian": "Asian",
    "Indian": "Indian",
    "Middle Eastern": "Middle Eastern",
    "Latino_Hispanic": "Latino",
}
_STAGE_ENDS = (10, 20, 60)  # years at which the next stage begins
_MOOD_OF = {
    "happiness": "pleasant",
    "fear": "unpleasant",
    "disgust": "unpleasant",
    "sadness": "unpleasant",
    "anger": "unpleasant",
    "surprise": "surprised",
    "neutral": "calm",
}
_DARK, _BRIGHT = 80, 165  # mean grey levels; between them the light is not mentioned
_GREY = 2  # grey levels that the channels of a picture without colour may differ by

_NOUNS = {  # by gender, or MISSING, and stage, or MISSING
    0: {0: "boy", 1: "teenage boy", 2: "man", 3: "old man", MISSING: "male person"},
    1: {0: "girl", 1: "teenage girl", 2: "woman", 3: "old woman", MISSING: "female person"},
    MISSING: {0: "child", 1: "teenager", 2: "adult", 3: "elderly person", MISSING: "person"},
}
FRAMES = (
    "a {style}photo of {person}",
    "a {style}portrait of {person}",
    "a {style}close up photo of {person}",
    "a {style}cropped photo of {person}",
    "a {style}picture of {person}",
    "a {style}image of {person}",
    "a {style}snapshot of {person}",
    "a {style}headshot of {person}",
    "a {style}photo of the face of {person}",
    "a {style}photo showing {person}",
    "this is a {style}photo of {person}",
    "there is {person} in this {style}photo",
    "{person} in a {style}photo",
    "{person} in a {style}picture",
    "the face of {person} in a {style}photo",
)
FORMS = ("a {mood} {noun}{years}", "a {noun}{years} who looks {mood}")
"""A sentence is one of `FRAMES` around one of `FORMS`: 30 sentences for the same facts."""


def facts_of(faces: FaceSet) -> Facts:
    """Return the facts that the labels give, (n, len(FACTS)); colour and light stay `MISSING`."""
    facts = np.full((len(faces), len(FACTS)), MISSING, np.int16)
    facts[:, 0] = faces.labels.get("gender", MISSING)
    facts[:, 1] = _mapped(faces.traits.get("race"), _RACE_NAMES, RACES, len(faces))
    facts[:, 2] = _stages(faces)
    if "emotion" in faces.labels:
        names = np.array((*TASKS["emotion"].labels, ""))[faces.labels["emotion"]]
        facts[:, 3] = _mapped(names, _MOOD_OF, MOODS, len(faces))
    years = faces.values.get("age_group", np.full(len(faces), np.nan))
    facts[:, 4] = np.where(np.isfinite(years), np.nan_to_num(years), MISSING)
    return facts


def _mapped(
    names: NDArray[np.str_] | None, meaning: dict[str, str], known: Sequence[str], count: int
) -> NDArray[np.int64]:
    if names is None:
        return np.full(count, MISSING)
    number = {name: known.index(meant) for name, meant in meaning.items()}
    return np.array([number.get(str(name), MISSING) for name in names])


def _stages(faces: FaceSet) -> NDArray[np.int64]:
    groups = faces.labels.get("age_group", np.full(len(faces), MISSING))
    begins = np.array((*TASKS["age_group"].edges[:-1], 0))[groups]
    return np.where(groups == MISSING, MISSING, np.searchsorted(_STAGE_ENDS, begins, "right"))


def style_of(picture: Image) -> tuple[int, int]:
    """Return the facts colour and light of a picture, uint8 BGR; medium light is `MISSING`."""
    channels = picture.reshape(-1, 3).astype(np.int16)
    colour = int(np.ptp(channels, axis=1).mean() <= _GREY)
    level = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).mean()
    return colour, 0 if level < _DARK else 1 if level > _BRIGHT else MISSING


def caption(facts: Facts, rng: Generator, keep: float = 0.7) -> tuple[str, Facts]:
    """Write a sentence that is true of a face; also return the facts that it mentions.

    Args:
        facts: (len(FACTS),) of the face.
        rng: chooses words and omissions.
        keep: chance of each known fact to be mentioned. A caption that would mention none
            mentions all.
    """
    mentioned = np.where(rng.random(len(FACTS)) < keep, facts, MISSING).astype(np.int16)
    if (mentioned == MISSING).all():
        mentioned = facts.copy()
    frame, form = int(rng.integers(len(FRAMES))), int(rng.integers(len(FORMS)))
    return sentence(mentioned, frame, form), mentioned


def single_facts() -> list[tuple[list[str], Facts]]:
    """Write a caption for each value of each fact except years; it mentions that fact alone.

    Returns:
        For each fact its captions, and the facts that they mention, (captions, len(FACTS)).
    """
    rows = []
    for fact, count in enumerate(VALUES):
        mentioned = np.full((count, len(FACTS)), MISSING, np.int16)
        mentioned[:, fact] = np.arange(count)
        if count:
            rows.append(([sentence(row) for row in mentioned], mentioned))
    return rows


def sentence(facts: Facts, frame: int = 0, form: int = 0) -> str:
    """Write all facts in one sentence.

    Args:
        facts: (len(FACTS),), `MISSING` where not mentioned.
        frame: index in `FRAMES`.
        form: index in `FORMS`.

    >>> sentence(np.array([1, 1, 2, 0, 34, MISSING, MISSING]), frame=3)
    'a cropped photo of a pleasant Black woman, 34 years old'
    """
    gender, race, stage, mood, years, colour, light = (int(fact) for fact in facts)
    noun = " ".join([*_words((RACES, race)), _NOUNS[gender][stage]])
    age = "" if years == MISSING else f", {years} years old,"
    if mood == MISSING:
        person = FORMS[form].format(mood="", noun=noun, years=age).replace(" who looks ", " ")
    else:
        person = FORMS[form].format(mood=MOODS[mood], noun=noun, years=age)
    style = "".join(f"{word} " for word in _words((LIGHTS, light), (COLOURS, colour)))
    return _tidy(FRAMES[frame].format(style=style, person=person))


def _words(*pairs: tuple[Sequence[str], int]) -> list[str]:
    return [names[number] for names, number in pairs if number != MISSING]


def _tidy(text: str) -> str:
    """Correct spaces, commas and the article "an"."""
    words = text.replace(" ,", ",").split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0].lower() in "aeiou":
            words[i] = "an"
    return " ".join(words).rstrip(",")
