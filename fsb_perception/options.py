"""Options, written once: frozen pydantic models, read from YAML, a command line or ROS parameters.

A part declares a model of `Options`, each field with ``option(default, help, ...)``. Models nest;
the name of a nested option is its path, ``tracker.max_coast``. `walk` lists the options of a tree.
`build` makes the tree from values by name; its error names the option, the value and the limits.

    >>> class Tracker(Options):
    ...     max_coast: float = option(1.0, "time that a face may be unseen", unit="s", ge=0.0)
    ...     cost: str = option("diou", "cost of a match", choices=("iou", "diou"))
    >>> build(Tracker, {"max_coast": 0.5})
    Tracker(max_coast=0.5, cost='diou')
    >>> [(item.name, item.default) for item in walk(Tracker, "tracker.")]
    [('tracker.max_coast', 1.0), ('tracker.cost', 'diou')]
    >>> build(Tracker, {"cost": "giou"})
    Traceback (most recent call last):
    ...
    fsb_perception.options.OptionError: cost: got 'giou', must be one of iou, diou
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, TypeVar, cast

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

from fsb_perception.errors import FsbError, error_line
from fsb_perception.registry import UnknownNameError

T = TypeVar("T")


class OptionError(FsbError, ValueError):
    """A value that an option cannot take; the message names option, value and limits."""


class Options(BaseModel):
    """The base of every option model: immutable, without unknown fields, valid by its defaults.

    >>> class Limits(Options):
    ...     least: float = option(0.0, "smallest share", ge=0.0, le=1.0)
    >>> Limits(least=0.5)
    Limits(least=0.5)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _check_choice(cls, value: object, info: ValidationInfo) -> object:
        details = _details(cls.model_fields[str(info.field_name)])
        if details and details["choices"] and value not in details["choices"]:
            raise ValueError(f"got {value!r}, must be one of {', '.join(details['choices'])}")
        return value


OptionsT = TypeVar("OptionsT", bound=Options)


class _Details(TypedDict):
    """Properties of an option that pydantic does not know; kept as ``json_schema_extra``."""

    unit: str
    ge: float | None
    le: float | None
    choices: list[str]
    live: bool


def _details(field: FieldInfo) -> _Details | None:
    extra = field.json_schema_extra
    return cast(_Details, extra) if isinstance(extra, dict) else None


def option(
    default: T,
    help: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> T:
    """Declare a field of an `Options` model.

    Args:
        default: the value unless another is set. It stands nowhere else.
        help: one sentence, without the unit or the bounds, which are shown beside it.
        unit: of the value, for instance "s" or "px".
        ge: smallest value allowed.
        le: largest value allowed.
        choices: the values allowed, for an option that is a name.
        live: may be changed while the node is active.
    """
    details = _Details(unit=unit, ge=ge, le=le, choices=list(choices), live=live)
    extra = cast(dict[str, JsonValue], details)
    return Field(default, description=help, ge=ge, le=le, json_schema_extra=extra)


@dataclass(frozen=True)
class Option:
    """One option of a tree, as a user interface needs it.

    >>> Option("tracker.max_coast", float, 1.0, "time that a face may be unseen", unit="s").unit
    's'
    """

    name: str
    type: type
    default: object
    help: str
    unit: str = ""
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False


def options_at_cap(options: Options, prefix: str = "") -> list[str]:
    """Return the names of the counts and sizes that are set to the largest value they take.

    Shares from 0 to 1 and values at their default are left out.
    """
    names = []
    for item in walk(type(options), prefix):
        value: object = options
        for part in item.name.removeprefix(prefix).split("."):
            value = getattr(value, part)
        if item.le is not None and item.le > 1 and value == item.le and value != item.default:
            names.append(item.name)
    return names


def walk(model: type[Options], prefix: str = "") -> Iterator[Option]:
    """Yield every option below ``model``, depth first, named by its dotted path."""
    return _walk(model, model(), prefix)


def _walk(model: type[Options], defaults: Options, prefix: str) -> Iterator[Option]:
    hints = typing.get_type_hints(model)
    for name, field in model.model_fields.items():
        kind, default = hints[name], getattr(defaults, name)
        if isinstance(default, Options):
            yield from _walk(kind, default, f"{prefix}{name}.")
            continue
        details = _details(field)
        assert details is not None, f"{model.__name__}.{name} must be declared with option()"
        yield Option(
            name=prefix + name,
            type=kind,
            default=default,
            help=field.description or "",
            unit=details["unit"],
            ge=details["ge"],
            le=details["le"],
            choices=tuple(details["choices"]),
            live=details["live"],
        )
    for name, group in (defaults.model_extra or {}).items():
        yield from _walk(type(group), group, f"{prefix}{name}.")


def build(model: type[OptionsT], values: Mapping[str, object]) -> OptionsT:
    """Build a ``model`` from values by dotted name; every other option keeps its default.

    An entry of an option that is a mapping is named by its key: ``data.shares.FairFace``.

    Raises:
        UnknownNameError: a name that the tree does not have.
        OptionError: a value out of its bounds, not among its choices, or of the wrong type.
    """
    try:
        return model.model_validate(_tree(model, values))
    except ValidationError as error:
        raise OptionError(explain(error)) from None


def _tree(model: type[Options], values: Mapping[str, object]) -> dict[str, typing.Any]:
    """Return the values nested by their paths."""
    known = {item.name: item for item in walk(model)}
    tree: dict[str, typing.Any] = {}
    for name, value in values.items():
        item = known.get(name) or _mapping_with(name, known)
        if item is None:
            raise UnknownNameError("option", name, known)
        *path, leaf = item.name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        key = name.removeprefix(item.name).removeprefix(".")
        node[leaf] = {**node.get(leaf, {}), key: value} if key else value
    return tree


def _mapping_with(name: str, known: Mapping[str, Option]) -> Option | None:
    """Return the option that is a mapping with an entry called ``name``; None if there is none."""
    for item in known.values():
        if typing.get_origin(item.type) is dict and name.startswith(f"{item.name}."):
            return item
    return None


def explain(error: ValidationError) -> str:
    """Return what pydantic found wrong: each field with the value seen and the rule, on one line.

    >>> class Limits(Options):
    ...     least: float = option(0.0, "smallest share", ge=0.0, le=1.0)
    >>> try:
    ...     Limits(least=2.0)
    ... except ValidationError as error:
    ...     explain(error)
    'least: got 2.0, input should be less than or equal to 1'
    """
    return "; ".join(_explain_one(item) for item in error.errors())


def _explain_one(item: Mapping[str, object]) -> str:
    place = cast("tuple[str | int, ...]", item["loc"])
    prefix = f"{'.'.join(map(str, place))}: " if place else ""
    text = _lower_first(str(item["msg"]).removeprefix("Value error, "))
    if item["type"] == "value_error":  # our own checks name the value themselves
        return f"{prefix}{text}"
    return f"{prefix}got {item['input']!r}, {text}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def flatten(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Return nested mappings as one mapping with dotted names.

    >>> flatten({"tracker": {"max_coast": 0.5}, "device": "cpu"})
    {'tracker.max_coast': 0.5, 'device': 'cpu'}
    """
    flat: dict[str, object] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def load_yaml(path: Path) -> dict[str, object]:
    """Read a YAML file of options; the result has dotted names.

    Raises:
        OptionError: the file cannot be read, or holds no mapping.
    """
    return flatten(load_tree(path))


def load_tree(path: Path) -> dict[str, object]:
    """Read a YAML file that holds a mapping, nested as it is.

    Raises:
        OptionError: the file cannot be read, or holds no mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        reason = error_line(error) if isinstance(error, UnicodeError) else str(error)
        one_line = " ".join(reason.split())  # YAML's errors draw the place over several lines
        raise OptionError(f"cannot read options from {path}: {one_line}") from error
    if not isinstance(tree, dict):
        raise OptionError(f"{path} must hold a mapping of options, got {type(tree).__name__}")
    return tree


def parse_settings(settings: Iterable[str]) -> dict[str, object]:
    """Parse the ``NAME=VALUE`` texts of a command line; values are read as YAML.

    >>> parse_settings(["tracker.max_coast=0.5", "device=cpu", "label="])
    {'tracker.max_coast': 0.5, 'device': 'cpu', 'label': ''}

    Raises:
        OptionError: a text has no "=".
    """
    parsed: dict[str, object] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"a setting must be NAME=VALUE, got {text!r}")
        parsed[name.strip()] = yaml.safe_load(value) if value.strip() else ""
    return parsed
