"""Strict reading of recipes: YAML into frozen dataclasses, with every refusal naming the field and the mend.

An unknown key, a missing key and a wrong type are refused by full dotted name (`stages[0].context`). Any value may be
written with its status, `{value: 2048, status: published}`: `load` takes the value, `statuses` and `unmarked` read
what is marked and what is not.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from mixtures.errors import RecipeError

T = TypeVar("T")

STATUSES: Final = ("published", "second_hand", "assumed")
"""How well a value is known: stated by its authors, stated by somebody near them, or chosen here."""


def load(cls: type[T], source: Path | Mapping[str, Any], *, name: str = "recipe") -> T:
    """Read the dataclass `cls` from a YAML file or from a mapping (called `name` in messages).

    Fields may be int, float, str, bool, Path, Fraction ("a/b" or an integer), Literal, X | None, tuple[X, ...],
    list[X], dict[str, X], Any and dataclasses. A ValueError from a dataclass's own `__post_init__` gets the field's
    name in front. Raises RecipeError.
    """
    if isinstance(source, Path):
        name, source = str(source), read_yaml(source)
    try:
        return _convert(cls, source, "")  # type: ignore[no-any-return]
    except _RefusedError as refused:
        raise RecipeError(f"{name}: {refused}") from refused.__cause__


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping. Raises RecipeError, also for a key given twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; give the path of a recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error}); give the path of a YAML file") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or a number that cannot be
        raise RecipeError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: holds {_shown(content)}; a recipe is a mapping of keys to values")
    return content


def statuses(source: Mapping[str, Any]) -> dict[str, str]:
    """Status of each marked value, by dotted name; a marked mapping or list marks all that is in it."""
    return {name: status for name, _, status in _leaves(source, "", None) if status is not None}


def unmarked(source: Mapping[str, Any]) -> list[str]:
    """Dotted names of the numbers (fractions included) that carry no status."""
    return [name for name, value, status in _leaves(source, "", None) if status is None and _is_number(value)]


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    problem="a list or mapping stands where a key should", problem_mark=key_node.start_mark
                )
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key_node.value!r} stands twice; remove one", problem_mark=key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-8 (no dot) as text; 1.2 and everybody's eyes read a number.
_UniqueKeyLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class _RefusedError(ValueError):
    """A value refused; `load` puts the file's name in front."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Return `value` as `kind`, or raise _RefusedError naming `where`."""
    value = _unwrap(value, where)
    origin, arguments = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if origin is Literal:
        return _choice(arguments, value, where)
    if origin in (Union, UnionType):
        return _optional(arguments, value, where)
    if kind is Any:
        return value
    if origin in (tuple, list):
        _expect(isinstance(value, list), value, where, "a list")
        return origin(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), value, where, "a mapping")
        for key in value:
            _expect(isinstance(key, str), key, where, "keys of text (quote them)")
        return {key: _convert(arguments[1], item, _join(where, key)) for key, item in value.items()}
    return _scalar(kind, value, where)


def _dataclass(cls: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _RefusedError(where, f"expected a mapping with the keys {', '.join(_names(cls))}, found {_shown(value)}")
    hints, arguments = get_type_hints(cls), {}
    for key, item in value.items():
        if key not in _names(cls):
            raise _RefusedError(_join(where, str(key)), f"unknown key; {_suggestion(str(key), _names(cls))}")
        arguments[key] = _convert(hints[key], item, _join(where, key))
    for field in fields(cls):
        if field.name not in arguments and field.default is MISSING and field.default_factory is MISSING:
            raise _RefusedError(_join(where, field.name), "missing key; add it")
    try:
        return cls(**arguments)
    except ValueError as error:
        raise _RefusedError(where, str(error)) from error


def _scalar(kind: Any, value: Any, where: str) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        _expect(number and isinstance(value, int), value, where, "a whole number")
    elif kind is float:
        _expect(number, value, where, "a number")
        return float(value)
    elif kind is bool:
        _expect(isinstance(value, bool), value, where, "true or false")
    elif kind is Fraction:
        return _fraction(value, where)
    elif kind is str or kind is Path:
        _expect(isinstance(value, str), value, where, "text (quote it)")
        return kind(value)
    else:
        raise TypeError(f"{where}: recipes do not support fields of type {kind}")
    return value


def _fraction(value: Any, where: str) -> Fraction:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            return Fraction(value)
        except (ValueError, ZeroDivisionError):
            pass
    raise _RefusedError(where, f'expected an exact share, found {_shown(value)}; write a whole number or "a/b"')


def _choice(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    for choice in choices:
        if value == choice and type(value) is type(choice):
            return choice
    raise _RefusedError(where, f"{_shown(value)} is not possible; {_suggestion(str(value), [str(c) for c in choices])}")


def _optional(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None:
        return None
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    return _convert(kind, value, where)


def _unwrap(value: Any, where: str) -> Any:
    """Take the value out of `{value: …, status: …}`."""
    if not _is_marked(value):
        return value
    if value["status"] not in STATUSES:
        raise _RefusedError(_join(where, "status"), f"{value['status']!r} is none of {', '.join(STATUSES)}")
    return value["value"]


def _is_marked(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"value", "status"}


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"\d+/\d+", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _leaves(value: Any, where: str, status: str | None) -> Iterator[tuple[str, Any, str | None]]:
    if _is_marked(value):
        value, status = value["value"], value["status"]
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, _join(where, str(key)), status)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _leaves(item, f"{where}[{i}]", status)
    else:
        yield where, value, status


def _expect(holds: bool, value: Any, where: str, wanted: str) -> None:
    if not holds:
        raise _RefusedError(where, f"expected {wanted}, found {_shown(value)}")


def _suggestion(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"


def _names(cls: Any) -> list[str]:
    return [field.name for field in fields(cls)]


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown(value: Any) -> str:
    kinds = {dict: "a mapping", list: "a list", NoneType: "nothing"}
    return kinds.get(type(value)) or repr(value)
