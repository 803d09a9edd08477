"""The seal of a manifest: its last line holds the sha256 of all bytes before that line.

    {
      "format_version": 3,
      ...
      "manifest_sha256": "9f86d081..."
    }

So no changed byte of a manifest goes unnoticed. The seal shows damage, not who made the bundle: for
that, compare the bundle's digest with one from a source that you trust.
"""

from __future__ import annotations

import hashlib
import re

SEAL = "manifest_sha256"

_END = re.compile(rb'  "%b": "([0-9a-f]{64})"\n\}\n\Z' % SEAL.encode())


def sealed(text: str) -> str:
    r"""Return the text of a manifest with its seal.

    Args:
        text: JSON of a mapping that is not empty, indented by two, with a line end.

    >>> print(sealed('{\n  "name": "nano"\n}\n'), end="")
    {
      "name": "nano",
      "manifest_sha256": "cdd5feea7cb439905c134af488895da5ab6b649dbc14281fe2349afd460c1826"
    }
    """
    body = text.removesuffix("\n}\n") + ",\n"
    return f'{body}  "{SEAL}": "{hashlib.sha256(body.encode()).hexdigest()}"\n}}\n'


def seal_holds(raw: bytes) -> bool:
    """Return whether the bytes of a manifest end in the seal that they must have."""
    end = _END.search(raw)
    return end is not None and hashlib.sha256(raw[: end.start()]).hexdigest() == end[1].decode()
