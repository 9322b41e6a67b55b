"""HTML built from values, escaped by construction: only `Markup` enters a tag as it is."""

from __future__ import annotations

import html

_VOID = frozenset({"br", "link", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(value: object) -> Markup:
    """Return `value` as HTML text, unless it is `Markup` already."""
    if isinstance(value, Markup):
        return value
    # URLs of the wild carry lone surrogates, which no UTF-8 file can hold.
    printable = str(value).encode("utf-8", "replace").decode("utf-8")
    return Markup(html.escape(printable))


def join(*children: object) -> Markup:
    """Return the children one after another, escaped where needed; None is left out."""
    return Markup("".join(escape(child) for child in children if child is not None))


def tag(element: str, /, *children: object, **attributes: object) -> Markup:
    """Return `<element attributes>children</element>`.

    Python's names become HTML's: `class_` → `class`, `aria_label` → `aria-label`. An attribute that is None or
    False is left out, one that is True stands without a value.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if element in _VOID:
        return Markup(f"<{element}{written}>")
    return Markup(f"<{element}{written}>{join(*children)}</{element}>")


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(value)}"'
