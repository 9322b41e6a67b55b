"""The kinds of sources: for each a module, its options and what turns its inputs into documents."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from mixtures.errors import InputError, RecipeError
from mixtures.sources.document import Dropped, Item, Noted
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.streams import Piece
from mixtures.strict import load, read_yaml

KINDS: Final = {
    "stackexchange": "stack_exchange",
    "arxiv": "arxiv",
    "code": "code",
    "conversations": "conversations",
    "encyclopedia": "encyclopedia",
    "books": "books",
    "plain": "plain",
}
"""Kinds, and the modules that hold them."""

Keyed = tuple[tuple[str, ...], dict[str, Any]]
"""A record with the group that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How one kind of source is read. The callables after `check` get the options last.

    documents: what becomes of a piece, where records stand alone. keyed: the records of a piece with their groups, and
    grouped: what becomes of a group, where records that belong together lie apart. check: raises InputError before any
    work for what can be known to be wrong. splits: whether parts of an input can be read alone; none, if not given.
    """

    name: str
    options: type
    accepted: Accepted
    splits: Callable[[Source], bool] = lambda _source: False
    libraries: tuple[str, ...] = ()
    check: Callable[[Sequence[Source], Any], None] = lambda _sources, _options: None
    documents: Callable[[Piece, Any], Iterable[Item]] | None = None
    keyed: Callable[[Piece, Any], Iterator[Keyed | Dropped | Noted]] | None = None
    grouped: Callable[[tuple[str, ...], list[dict[str, Any]], Any], Iterable[Item]] | None = None


def open_kind(name: str) -> Kind:
    """The kind called `name`. Raises InputError for one that is not known."""
    if name not in KINDS:
        close = get_close_matches(name, KINDS, n=1)
        known = f"did you mean {close[0]}?" if close else f"known are {', '.join(KINDS)}"
        raise InputError(f"{name}: no such kind of source; {known}")
    kind: Kind = importlib.import_module(f"mixtures.sources.{KINDS[name]}").KIND
    return kind


def read_options(kind: Kind, recipe: Path | None = None, settings: Sequence[str] = ()) -> Any:
    """The options of a kind: its shipped recipe, what `recipe` says otherwise, then `settings` (`key=value`).

    Keys within mappings have dots in `settings`, values are YAML. Raises RecipeError.
    """
    shipped = Path(str(resources.files("mixtures") / "recipes" / "sources" / f"{kind.name}.yaml"))
    values: Mapping[str, Any] = read_yaml(shipped)
    if recipe is not None:
        values = _over(values, read_yaml(recipe))
    for setting in settings:
        values = _over(values, _setting(setting))
    return load(kind.options, values, name=str(recipe or "--set" if settings or recipe else shipped))


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with what `above` says otherwise; a mapping is taken over key by key, a list as a whole."""
    joined = dict(below)
    for key, value in above.items():
        under = joined.get(key)
        mappings = isinstance(value, Mapping) and isinstance(under, Mapping) and "status" not in under
        joined[key] = _over(under, value) if mappings else value  # type: ignore[arg-type]
    return joined


def _setting(setting: str) -> dict[str, Any]:
    name, equals, text = setting.partition("=")
    if not equals or not name:
        raise RecipeError(f"--set {setting}: not of the form key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        shown = " ".join(str(error).split())
        raise RecipeError(
            f"--set {setting}: the value is not YAML; quote text in it: {name}='\"…\"' ({shown})"
        ) from error
    for part in reversed(name.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]
