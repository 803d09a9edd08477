"""Options, written once: frozen pydantic models, read as YAML, command line or ROS parameters.

A part declares a model of `Options`, each field with `option(default, help, ...)`. Models nest; a
nested field is named by its path, ``tracker.max_coast``. `walk` lists what a tree offers, and
`build` makes it from such names, with an error that says which value is wrong and what is allowed.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fsb_perception.errors import FsbError
from fsb_perception.registry import UnknownNameError


class OptionError(FsbError, ValueError):
    """A value that an option cannot take; the message names option, value and limits."""


class Options(BaseModel):
    """Base of every option model: immutable, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="after")
    def _check_choices(self) -> Options:
        for name, info in type(self).model_fields.items():
            extra = info.json_schema_extra
            choices = extra.get("choices") if isinstance(extra, dict) else None
            value = getattr(self, name)
            if isinstance(choices, list) and choices and value not in choices:
                raise ValueError(
                    f"{name}: got {value!r}, must be one of {', '.join(map(str, choices))}"
                )
        return self


OptionsT = TypeVar("OptionsT", bound=Options)


def option(
    default: Any,
    help: str,
    *,
    unit: str = "",
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """A field of an `Options` model.

    Args:
        default: the value when nothing is said; the only place where it stands.
        help: one sentence, without the unit or the bounds, which are shown beside it.
        unit: of the value, for instance "s" or "px".
        ge: smallest value allowed.
        le: largest value allowed.
        choices: the values allowed, where they are names.
        live: may be changed while the node is active.
    """
    extra: Any = {"unit": unit, "ge": ge, "le": le, "choices": list(choices), "live": live}
    return Field(default, description=help, ge=ge, le=le, json_schema_extra=extra)


@dataclass(frozen=True)
class Option:
    """One option of a tree, as a user interface needs it."""

    name: str
    type: type
    default: Any
    help: str
    unit: str = ""
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False


def walk(model: type[Options], prefix: str = "") -> Iterator[Option]:
    """Every option below ``model``, depth first, named by its dotted path."""
    hints = typing.get_type_hints(model)
    for name, info in model.model_fields.items():
        kind = hints[name]
        if isinstance(kind, type) and issubclass(kind, Options):
            yield from walk(kind, f"{prefix}{name}.")
            continue
        extra = info.json_schema_extra
        assert isinstance(extra, dict), f"{model.__name__}.{name} must be declared with option()"
        yield Option(
            name=prefix + name,
            type=kind,
            default=info.get_default(call_default_factory=True),
            help=info.description or "",
            unit=str(extra["unit"]),
            ge=extra["ge"],  # type: ignore[arg-type]
            le=extra["le"],  # type: ignore[arg-type]
            choices=tuple(extra["choices"]),  # type: ignore[arg-type]
            live=bool(extra["live"]),
        )


def build(model: type[OptionsT], values: Mapping[str, Any]) -> OptionsT:
    """An instance of ``model`` with ``values`` by dotted name; the rest keeps its default.

    An entry of an option that is a mapping is named by its key: ``data.shares.FairFace``.

    Raises:
        UnknownNameError: a name that the tree does not have.
        OptionError: a value out of its bounds or of the wrong type.
    """
    known = {item.name: item for item in walk(model)}
    tree: dict[str, Any] = {}
    for name, value in values.items():
        item = known.get(name) or _mapping_with(name, known)
        if item is None:
            raise UnknownNameError("option", name, known)
        if item.choices and value not in item.choices:
            raise OptionError(f"{name}: got {value!r}, must be one of {', '.join(item.choices)}")
        *path, leaf = item.name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        key = name.removeprefix(item.name).removeprefix(".")
        node[leaf] = {**node.get(leaf, {}), key: value} if key else value
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise OptionError(_explain(error)) from None


def _mapping_with(name: str, known: Mapping[str, Option]) -> Option | None:
    """The option that is a mapping, and has ``name`` as the path of one of its entries."""
    for item in known.values():
        if typing.get_origin(item.type) is dict and name.startswith(f"{item.name}."):
            return item
    return None


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(item) for item in error.errors())


def _explain_one(item: Any) -> str:
    place = ".".join(map(str, item["loc"]))
    text = _lower_first(item["msg"].removeprefix("Value error, "))
    if item["type"] == "value_error":  # our own checks name the value themselves
        return f"{place}: {text}" if place else text
    return f"{place}: got {item['input']!r}, {text}"


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted names.

    >>> flatten({"tracker": {"max_coast": 0.5}, "device": "cpu"})
    {'tracker.max_coast': 0.5, 'device': 'cpu'}
    """
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of options as dotted names; `OptionError` says where it cannot be read."""
    return flatten(load_tree(path))


def load_tree(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping, as it is; `OptionError` says where it cannot be read."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise OptionError(f"cannot read options from {path}: {error}") from error
    if not isinstance(tree, dict):
        raise OptionError(f"{path} must hold a mapping of options, got {type(tree).__name__}")
    return tree


def parse_settings(settings: typing.Iterable[str]) -> dict[str, Any]:
    """``NAME=VALUE`` texts of a command line, values read as YAML.

    >>> parse_settings(["tracker.max_coast=0.5", "device=cpu"])
    {'tracker.max_coast': 0.5, 'device': 'cpu'}

    Nothing after the sign is the empty text.
    """
    parsed = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionError(f"a setting is NAME=VALUE, got {text!r}")
        parsed[name.strip()] = yaml.safe_load(value) if value.strip() else ""
    return parsed
