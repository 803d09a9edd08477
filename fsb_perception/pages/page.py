"""HTML pages in one file: a base template, styles for light and dark, plots inside, no network.

    content (a dataclass) --> template of a report --> base.html.j2 of this package --> file

A template of a report opens with ``{% extends "base.html.j2" %}`` and fills its blocks:
``style`` (more CSS), ``heading``, ``nav`` and ``main``. ``macros.html.j2`` has tables that scroll.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from fsb_perception.files import write_whole
from fsb_perception.metric_words import value_text
from fsb_perception.pages.text import listed, plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_HERE = "fsb_perception.pages"
_FILTERS: Mapping[str, Callable[..., str]] = {
    "listed": listed, "plain": plain, "value": value_text,
}  # fmt: skip
# Characters that XML forbids: controls, and halves of surrogate pairs.
_FORBIDDEN = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(
    package: str,
    template: str,
    content: DataclassInstance,
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> str:
    """Fill a template; a name that neither it nor the content defines is an error.

    All text is escaped, in Markdown too: a name from a data set or a recording must not become a
    tag. Characters that XML forbids become U+FFFD.

    Args:
        package: the package whose folder ``templates`` holds the template.
        template: its file name.
        content: a dataclass; the template uses its fields by name. The base template needs
            ``title``.
        filters: filters of this template, beside ``listed``, ``plain`` and ``value``.

    Raises:
        jinja2.UndefinedError: the template uses a name that nothing defines.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {**_FILTERS, **(filters or {})}
    values = {field.name: getattr(content, field.name) for field in fields(content)}
    return _FORBIDDEN.sub("\ufffd", environment.get_template(template).render(values))


def write_page(
    path: Path,
    package: str,
    template: str,
    content: DataclassInstance,
    filters: Mapping[str, Callable[..., str]] | None = None,
) -> None:
    """Write what `render` returns to a file, whole or not at all.

    Raises:
        FileError: the file cannot be written.
    """
    write_whole(path, render(package, template, content, filters))
