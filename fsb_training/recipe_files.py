"""The files of recipes: those that ship, and how one extends another.

    mission/lora.yaml --extends--> base.yaml --extends--> ../base.yaml
    settings replace entries of mission/lora.yaml, which replace those of base.yaml, and so on

Mappings merge key by key. A mapping whose keys are no options, such as ``data.shares``, is replaced
as a whole. So is ``adapter`` if the method differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fsb_perception.options import OptionError, flatten, load_yaml, parse_settings
from fsb_perception.registry import UnknownNameError

SHIPPED = Path(__file__).parent / "recipes"
_ADAPTER = "adapter."


def shipped_recipes() -> dict[str, str]:
    """Return one line on each recipe that ships, by its path below `SHIPPED` without suffix.

    Files called "base" serve only to be extended, and are left out.
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
    """Return the file that ``name`` means: a path from ``folder``, or a recipe that ships.

    Raises:
        UnknownNameError: there is neither.
    """
    for place in (folder / name, SHIPPED / name, SHIPPED / f"{name}.yaml"):
        if place.is_file():
            return place
    raise UnknownNameError("recipe or file", str(name), shipped_recipes())


def recipe_values(
    path: Path, settings: Iterable[str] = (), mappings: Sequence[str] = ()
) -> dict[str, object]:
    """Read a recipe: the settings over the values of ``path``, over those of the files it extends.

    Args:
        path: of `find_recipe`.
        settings: ``NAME=VALUE``; a mapping replaces that of the files.
        mappings: names of the options whose value is a mapping.

    Returns:
        Values by dotted name, for `fsb_perception.options.build`; ``adapter`` is a mapping.

    Raises:
        OptionError: a file cannot be read, extends itself, or extends a file that is absent.
    """
    values, settings_by_name = _read(path, mappings), parse_settings(settings)
    for name in settings_by_name:
        _take(values, f"{name}.")
    values = _over(values, flatten(settings_by_name))
    for name in (*mappings, "adapter"):
        if whole := _take(values, f"{name}."):
            values[name] = whole
    return values


def _read(path: Path, mappings: Sequence[str], above: tuple[Path, ...] = ()) -> dict[str, object]:
    """Read a file over the one that it extends; the files ``above`` extend this one."""
    if path.resolve() in above:
        chain = " -> ".join(file.name for file in (*above, path))
        raise OptionError(
            f"{path}: recipes extend each other in a loop: {chain}; remove one extends"
        )
    values = load_yaml(path)
    if "extends" not in values:
        return values
    name = values.pop("extends")
    if not isinstance(name, str):
        raise OptionError(f"{path}: extends: got {name!r}, give the path of one recipe")
    try:
        base = find_recipe(name, path.parent)
    except UnknownNameError as error:
        raise OptionError(f"{path}: extends: {error}") from None
    below = _read(base, mappings, (*above, path.resolve()))
    for mapping in mappings:
        if any(key.startswith(f"{mapping}.") for key in values):
            _take(below, f"{mapping}.")
    return _over(below, values)


def _over(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Merge ``above`` over ``below``; another method drops the adapter's options below."""
    method = f"{_ADAPTER}method"
    if method in above and above[method] != below.get(method):
        below = {name: value for name, value in below.items() if not name.startswith(_ADAPTER)}
    return below | above


def _take(values: dict[str, object], prefix: str) -> dict[str, object]:
    """Remove the entries that begin with ``prefix``, and return them without it."""
    return {
        name.removeprefix(prefix): values.pop(name)
        for name in list(values)
        if name.startswith(prefix)
    }
