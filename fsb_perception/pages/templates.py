"""How pages are made of templates; only for those who make some, for it needs Jinja."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined


def environment(package: str) -> Environment:
    """Templates of a package, which escape what they are given and refuse what is not defined.

    Args:
        package: whose folder ``templates`` holds them. Markdown is escaped too: what comes from a
            data set or a recording must not become a tag there either.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
