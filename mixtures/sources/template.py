"""Texts with places to be filled in, `{title}`: checked when a recipe is read, filled with text that is only text."""

from __future__ import annotations

import string
from collections.abc import Collection


def check_template(field: str, template: str, known: Collection[str], *, needed: Collection[str] = ()) -> None:
    """Raise ValueError unless all places of `template` are `known` ones and all that are `needed` are there."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"{field}: {error}; double a brace that is meant as one ({{{{)") from error
    names = [(name, form, conversion) for _, name, form, conversion in parts if name is not None]
    for name, form, conversion in names:
        if name not in known or form or conversion:
            raise ValueError(f"{field}: {{{name}}} cannot be filled in; known are {_shown(known)}")
    missing = set(needed) - {name for name, _, _ in names}
    if missing:
        raise ValueError(f"{field}: {_shown(missing)} is missing; add it")


def fill(template: str, **values: str) -> str:
    """The template with its places filled in."""
    return template.format_map(values)


def _shown(names: Collection[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
