"""The table of tasks, the attributes that are estimated from a face. A new task is one new row."""

from __future__ import annotations

from dataclasses import dataclass

from fsb_perception.registry import Registry


@dataclass(frozen=True)
class Task:
    """One attribute that is estimated from a face.

    Attributes:
        name: identifier, also the name in messages, manifests and recipes.
        labels: class names; their order is the order of every probability vector.
        ordered: neighbouring labels are neighbouring values, so that an error of one label is
            smaller than an error of two (``within_one_accuracy``).
        edges: for labels that are ranges of a number: the start of each range, and the end of the
            last. The middles between them turn probabilities into a value. Empty for other tasks.
        unit: of that number.
        sensitive: law or ethics restrict its use in some places; see the README's privacy section.
        sided: a label says left from right, so a mirrored picture has another label.
        description: the task in plain words, for methods that read text.
        phrases: for each label one or more descriptions that can follow "a photo of". The first
            is short, since learned prompts share the text tower's few tokens with it. Letters and
            digits only: SigLIP2's tokenizer drops the rest, and would read 3-9 as 39.

    >>> TASKS["emotion"].labels[:3]
    ('surprise', 'fear', 'disgust')
    """

    name: str
    labels: tuple[str, ...]
    ordered: bool = False
    edges: tuple[float, ...] = ()
    unit: str = ""
    sensitive: bool = False
    sided: bool = False
    description: str = ""
    phrases: tuple[tuple[str, ...], ...] = ()

    def range_of(self, value: float) -> int:
        """Return the index of the label that holds ``value``; beyond the ends, the outermost one.

        >>> TASKS["age_group"].range_of(25.0)
        3
        """
        return sum(value >= edge for edge in self.edges[1:-1])


def _decade(word: str, first: int) -> tuple[str, ...]:
    return (
        f"someone in their {word}",
        f"a person of {first} to {first + 9} years",
        f"a {first + 5} year old person",
    )


def _expression(adjective: str, noun: str) -> tuple[str, ...]:
    article = "an" if adjective[0] in "aeiou" else "a"
    return (
        f"{article} {adjective} face",
        f"a person who looks {adjective}",
        f"a facial expression of {noun}",
    )


_TASKS = (
    Task(
        "gender",
        ("male", "female"),
        sensitive=True,
        description="the gender of a person",
        phrases=(("a man", "a boy", "a male person"), ("a woman", "a girl", "a female person")),
    ),
    Task(
        "age_group",
        ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
        ordered=True,
        # 70+ has no end: 85 puts its middle at 77.5, about the mean age of people over 70.
        edges=(0, 3, 10, 20, 30, 40, 50, 60, 70, 85),
        unit="year",
        description="the age group of a person",
        phrases=(
            ("a baby", "an infant under 3 years", "a toddler"),
            ("a young child", "a child of 3 to 9 years", "a 6 year old child"),
            ("a teenager", "a young person of 10 to 19 years", "a 15 year old teenager"),
            _decade("twenties", 20),
            _decade("thirties", 30),
            _decade("forties", 40),
            _decade("fifties", 50),
            _decade("sixties", 60),
            (
                "someone over seventy",
                "an old person of more than 70 years",
                "an 80 year old person",
            ),
        ),
    ),
    Task(
        "emotion",
        ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
        sensitive=True,
        description="the emotion on the face of a person",
        phrases=(
            _expression("surprised", "surprise"),
            _expression("fearful", "fear"),
            _expression("disgusted", "disgust"),
            _expression("happy", "happiness"),
            _expression("sad", "sadness"),
            _expression("angry", "anger"),
            ("a neutral face", "a person with a blank look", "a calm face without any emotion"),
        ),
    ),
)

TASKS = Registry("task", {task.name: task for task in _TASKS})


def age_group(years: int) -> int:
    """Return the index of the age_group label that holds an age in whole years.

    >>> [TASKS["age_group"].labels[age_group(years)] for years in (0, 2, 3, 69, 116)]
    ['0-2', '0-2', '3-9', '60-69', '70+']

    Raises:
        ValueError: the age is negative.
    """
    if years < 0:
        raise ValueError(f"an age in years cannot be negative, got {years}")
    return TASKS["age_group"].range_of(years)
