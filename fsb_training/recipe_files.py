"""The files of a recipe: which ship, how one extends another, and what is said over them.

    mission/lora.yaml --extends--> base.yaml --extends--> ../base.yaml        <--over all-- settings

Mappings merge key by key, the file over what it extends. Those whose keys are no options but depend
on the content, such as ``data.shares``, are taken whole, and ``adapter`` is where the method is
another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fsb_perception.options import OptionError, flatten, load_yaml, parse_settings
from fsb_perception.registry import UnknownNameError

SHIPPED = Path(__file__).parent / "recipes"
_ADAPTER = "adapter."


def shipped_recipes() -> dict[str, str]:
    """What each recipe that ships is, in a line, by name: its path below `SHIPPED`, no suffix.

    Those called "base" are there to be extended, and are left out.
    """
    return {
        path.relative_to(SHIPPED).with_suffix("").as_posix(): _first_line(path)
        for path in sorted(SHIPPED.rglob("*.yaml"))
        if path.stem != "base"
    }


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("#").strip()


def find_recipe(name: str | Path, folder: Path = Path()) -> Path:
    """The file that ``name`` means: a path from ``folder``, or the name of a recipe that ships.

    Raises:
        UnknownNameError: neither is there.
    """
    for place in (folder / name, SHIPPED / name, SHIPPED / f"{name}.yaml"):
        if place.is_file():
            return place
    raise UnknownNameError("recipe or file", str(name), shipped_recipes())


def recipe_values(
    path: Path, settings: Iterable[str] = (), mappings: Sequence[str] = ()
) -> dict[str, Any]:
    """A recipe's values by dotted name: those of ``path``, of all it extends, and the settings.

    Args:
        path: of `find_recipe`.
        settings: ``NAME=VALUE``; a mapping that is set takes the place of the files'.
        mappings: options whose value is a mapping.

    Returns:
        What `fsb_perception.options.build` takes, and ``adapter`` as a mapping if it is said.

    Raises:
        OptionError: a file that cannot be read, that extends itself, or one that is not there.
    """
    values, said = _read(path, mappings), parse_settings(settings)
    for name in said:
        _take(values, f"{name}.")
    values = _over(values, flatten(said))
    for name in (*mappings, "adapter"):
        if whole := _take(values, f"{name}."):
            values[name] = whole
    return values


def _read(path: Path, mappings: Sequence[str], above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a file over those of the file that it extends; ``above`` extend this one."""
    if path.resolve() in above:
        chain = " -> ".join(file.name for file in (*above, path))
        raise OptionError(f"{path}: recipes extend each other in a loop: {chain}")
    values = load_yaml(path)
    if "extends" not in values:
        return values
    name = values.pop("extends")
    if not isinstance(name, str):
        raise OptionError(f"{path}: extends takes the path of one recipe, got {name!r}")
    try:
        base = find_recipe(name, path.parent)
    except UnknownNameError as error:
        raise OptionError(f"{path}: extends what is not there: {error}") from None
    below = _read(base, mappings, (*above, path.resolve()))
    for each in mappings:
        if any(key.startswith(f"{each}.") for key in values):
            _take(below, f"{each}.")
    return _over(below, values)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``; with another method go the options of the one below."""
    method = f"{_ADAPTER}method"
    if method in above and above[method] != below.get(method):
        below = {name: value for name, value in below.items() if not name.startswith(_ADAPTER)}
    return below | above


def _take(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {
        name.removeprefix(prefix): values.pop(name)
        for name in list(values)
        if name.startswith(prefix)
    }
