"""From what was measured to pages: the templates do the rest."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment

from fsb_perception import __version__
from fsb_perception.pages.templates import environment
from fsb_training.report import words
from fsb_training.report.collect import Choices, Section
from fsb_training.report.figures import Picture, plain


def as_html(sections: Sequence[Section], choices: Choices) -> str:
    """One page with everything in it: style, pictures, numbers. It asks the network for nothing."""
    return _render("report.html", sections, choices, picture=_data_uri)


def as_markdown(sections: Sequence[Section], choices: Choices, folder: str) -> str:
    """The same for a repository; its pictures are looked for in ``folder``."""

    def address(section: Section, picture: Picture) -> str:
        return f"{folder}/{_file(sections, section, picture)}"

    return _render("report.md", sections, choices, picture=address)


def picture_files(sections: Sequence[Section]) -> dict[str, bytes]:
    """The pictures of `as_markdown` by the names of their files."""
    return {
        _file(sections, section, picture): picture.svg
        for section in sections
        for picture in _pictures(section)
    }


def _pictures(section: Section) -> Iterator[Picture]:
    yield from section.reliability
    yield from (picture for picture in section.groups if picture)
    yield from section.maps
    yield section.patches


def _file(sections: Sequence[Section], section: Section, picture: Picture) -> str:
    """Two bundles may share a name: they are numbered in the order of the report."""
    number = next(at for at, each in enumerate(sections, 1) if each is section)
    return f"{number}-{picture.name}.svg"


def _data_uri(section: Section, picture: Picture) -> str:
    del section
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.svg).decode()}"


def _render(name: str, sections: Sequence[Section], choices: Choices, **more: Any) -> str:
    template = _environment().get_template(f"{name}.j2")
    specs = dict.fromkeys(each.spec for section in sections for each in section.results)
    return template.render(
        sections=sections,
        choices=choices,
        specs=list(specs),
        own_split=any(spec.endswith(":dev") for spec in specs),
        metrics=words.shown([each for section in sections for each in section.results]),
        version=__version__,
        **more,
    )


@cache
def _environment() -> Environment:
    made = environment("fsb_training.report")
    made.filters |= {
        "plain": plain,
        "number": words.number,
        "span": words.span,
        "points": words.points,
        "megabytes": words.megabytes,
        "listed": words.listed,
        "cell": lambda text: str(text).replace("|", "/"),
    }
    made.globals |= {"summary": words.summary, "labels": words.labels}
    return made
