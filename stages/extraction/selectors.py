"""trafilatura's XPath selections, compiled: the same elements at a fraction of the cost.

An expression like

    .//*[self::div or self::p][@data-ad or re:test(@id, 'nav|menu') or contains(@class, 'share-')]

costs libxml2 a call back into Python for each `re:test` on each element. Here elements come from lxml's own iterator,
which knows the tags; the distinct values of an attribute are looked at together; and a pattern is tried only where a
literal that any match must hold occurs at all (of some hundred and fifty most do not occur in a page).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

# What a predicate may say, joined by "or". `source` with a bar is XPath's string value of a union: of the attributes
# named, the one that the element has first.
_ATOM = re.compile(
    r"""
    self::(?P<tag>\w+)
    | not\(\s*(?P<excuse>self::\w+(?:\s+or\s+self::\w+)*|\.//\w+)\s*\)
    | (?P<function>contains|starts-with|re:test)\(\s*
        (?:translate\(\s*)?(?P<source>@[\w-]+(?:\|@[\w-]+)*)(?:\s*,\s*'(?P<upper>\w+)'\s*,\s*'(?P<lower>\w+)'\s*\))?
        \s*,\s*'(?P<argument>[^']*)'(?:\s*,\s*'(?P<flags>i)')?\s*\)
    | @(?P<attribute>[\w-]+)(?:\s*=\s*'(?P<value>[^']*)')?
    """,
    re.VERBOSE,
)
_PREDICATE = re.compile(r"\[((?:'[^']*'|[^\]'])*)\]")
_FIRST_ONLY = "1"
_GROUP = re.compile(r"\((?:\?[:!])?[^()]*\)\??")  # an innermost one
_UNKNOWN = re.compile(r"(?<!\\)[*+{}.]")
_NOT_LITERAL = re.compile(r"\[[^\]]*\]\??|\\[sAZ]|(?:\\.|.)\?|[\^$]")


@dataclass(frozen=True, kw_only=True)
class _Test:
    """One alternative of a pattern on one attribute; true for a value with `literal` that `found` accepts."""

    literal: str
    found: Callable[[str], object] | None
    """None where the literal says it all."""
    bit: int
    first_of: tuple[str, ...]
    """The attribute must be the first of these that the element has; empty where it does not matter."""


@dataclass(kw_only=True)
class _Predicate:
    """True where one of its attribute tests is (its bit is set), or by the element itself."""

    bit: int = 0
    """0 where it has no attribute test."""
    tags: set[str] = field(default_factory=set)
    other_than: set[str] = field(default_factory=set)
    lacks: str = ""
    """Name of a descendant that the element must not have."""

    @property
    def is_plain(self) -> bool:
        """Whether it asks attributes alone or the tag alone."""
        return (bool(self.bit) != bool(self.tags)) and not self.other_than and not self.lacks

    def excuses(self, element: Any) -> bool:
        return (
            element.tag in self.tags
            or (bool(self.other_than) and element.tag not in self.other_than)
            or (bool(self.lacks) and next(element.iterdescendants(self.lacks), None) is None)
        )


class _Expression:
    """All predicates of a path; the plain ones are answered by tags and bits alone."""

    def __init__(self, predicates: list[_Predicate]) -> None:
        plain = [predicate for predicate in predicates if predicate.is_plain]
        self.tags = next((frozenset(predicate.tags) for predicate in plain if predicate.tags), None)
        self._required = sum(predicate.bit for predicate in plain)
        self._others = [predicate for predicate in predicates if not predicate.is_plain]
        if not self._required:
            raise ValueError("no condition on attributes alone")  # elements without attributes are not looked at

    def holds(self, element: Any, mask: int) -> bool:
        return (
            mask & self._required == self._required
            and (self.tags is None or element.tag in self.tags)
            and all(mask & predicate.bit or predicate.excuses(element) for predicate in self._others)
        )


class Selector:
    """Expressions `.//*[…][…]` as one callable from an element to the elements below it that match any of them.

    In document order, each once. A final `[1]` is left out: the first of all matches is the expression's.
    Raises ValueError for an expression outside the little grammar above.
    """

    def __init__(self, *paths: str) -> None:
        self._tests: dict[str, list[_Test]] = {}
        self._n_predicates = 0
        self._expressions = [_Expression(self._predicates(path)) for path in paths]
        tags = [expression.tags or {"*"} for expression in self._expressions]
        self._tags = ("*",) if {"*"} in tags else tuple(sorted(set().union(*tags)))

    def __call__(self, tree: Any) -> list[Any]:
        """Return the matching descendants of `tree`, an lxml element."""
        walk = list(tree.iterdescendants(*self._tags))
        masks = self._masks(walk)
        if not masks:
            return []
        held = {
            element
            for element, mask in masks.items()
            if any(expression.holds(element, mask) for expression in self._expressions)
        }
        return [element for element in walk if element in held]

    def _predicates(self, path: str) -> list[_Predicate]:
        predicates = [self._predicate(text) for text in _PREDICATE.findall(path) if text != _FIRST_ONLY]
        if _PREDICATE.sub("", path).strip(" \n()") != ".//*":
            raise ValueError(f"not of the form .//*[…]: {path}")
        return predicates

    def _predicate(self, text: str) -> _Predicate:
        if _ATOM.sub("", text).replace("or", "").strip():
            raise ValueError(f"cannot be compiled: {text}")
        bit, predicate = 1 << self._n_predicates, _Predicate()
        self._n_predicates += 1
        for atom in _ATOM.finditer(text):
            if atom["tag"]:
                predicate.tags.add(atom["tag"])
            elif (excuse := atom["excuse"]) and excuse.startswith(".//"):
                predicate.lacks = excuse.removeprefix(".//")
            elif excuse:
                predicate.other_than.update(re.findall(r"self::(\w+)", excuse))
            else:
                predicate.bit = bit
                self._add_tests(atom, bit)
        return predicate

    def _add_tests(self, atom: re.Match[str], bit: int) -> None:
        names = (atom["source"] or f"@{atom['attribute']}").replace("@", "").split("|")
        flags = re.IGNORECASE if atom["flags"] else 0
        for pattern in _alternatives(_pattern(atom)):
            literal = "" if flags else _literal(pattern)
            found = None if literal == _unescaped(pattern) and not flags else re.compile(pattern, flags).search
            test = _Test(literal=literal, found=found, bit=bit, first_of=tuple(names) if len(names) > 1 else ())
            for name in names:
                self._tests.setdefault(name, []).append(test)

    def _masks(self, walk: Iterable[Any]) -> dict[Any, int]:
        """Elements with the bits of the predicates that an attribute of theirs fulfils; others are left out."""
        found: dict[str, dict[str, list[Any]]] = {name: {} for name in self._tests}
        for element in walk:
            for name, value in element.items():
                if name in found:
                    found[name].setdefault(value, []).append(element)
        masks: dict[Any, int] = {}
        for name, holders in found.items():
            together = "\n".join(holders)
            for test in self._tests[name]:
                if test.literal in together:
                    for element in _passing(test, name, holders):
                        masks[element] = masks.get(element, 0) | test.bit
        return masks


def _passing(test: _Test, name: str, holders: dict[str, list[Any]]) -> Iterator[Any]:
    """Elements with a value that passes the test; `holders` are those with the attribute `name`, by value."""
    literal, found, first_of = test.literal, test.found, test.first_of
    for value in [value for value in holders if literal in value]:
        if found is None or found(value):
            for element in holders[value]:
                if not first_of or next(filter(first_of.__contains__, element.keys())) == name:
                    yield element


def _pattern(atom: re.Match[str]) -> str:
    """The regular expression that does what the atom does to an attribute's value."""
    if atom["function"] == "re:test":
        if _UNKNOWN.search(atom["argument"]):
            raise ValueError(f"cannot be compiled: {atom['argument']}")
        return atom["argument"]
    if not atom["function"]:
        return "" if atom["value"] is None else rf"\A{re.escape(atom['value'])}\Z"
    folded = dict(zip(atom["lower"] or "", atom["upper"] or "", strict=True))
    text = "".join(f"[{folded[c]}{c}]" if c in folded else re.escape(c) for c in atom["argument"])
    return rf"\A{text}" if atom["function"] == "starts-with" else text


def _alternatives(pattern: str) -> list[str]:
    """Split at the bars outside groups; trafilatura's patterns have none in a character class."""
    pieces, depth = [""], 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            pieces.append("")
        else:
            pieces[-1] += char
    return pieces


def _literal(pattern: str) -> str:
    """The longest run of characters that every match holds; empty where there is none."""
    n_groups = 1
    while n_groups:
        pattern, n_groups = _GROUP.subn("^", pattern)
    return _unescaped(max(_NOT_LITERAL.split(pattern), key=len))


def _unescaped(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
