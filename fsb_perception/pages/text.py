"""Names and numbers in the sentences of a page."""

from __future__ import annotations

from collections.abc import Sequence


def plain(name: str) -> str:
    """Return a name with spaces instead of underscores.

    >>> plain("age_group")
    'age group'
    """
    return name.replace("_", " ")


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "face"), counted(1200, "box", "boxes")
    ('1 face', '1,200 boxes')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
