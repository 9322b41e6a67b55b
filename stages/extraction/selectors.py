"""trafilatura's XPath selections, compiled: the same elements at a fraction of the cost.

An expression like

    .//*[self::div or self::p][@data-ad or re:test(@id, 'nav|menu') or contains(@class, 'share-')]

costs libxml2 a call back into Python for each `re:test` on each element. Here elements come from lxml's own iterator,
which knows the tags; one look at an element's attributes answers all lists of expressions, for equal attributes once;
and a pattern is tried only on values that hold a literal which any match must hold.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stages.extraction.literals import Literals

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
_LEADING_GROUP = re.compile(r"(\^?)\(\?:((?:[^()]|\((?!\?:)[^()]*\))*)\)([^?].*|)")
_UNKNOWN = re.compile(r"(?<!\\)[*+{}.]")
_NOT_LITERAL = re.compile(r"\[[^\]]*\]\??|\\[sAZ]|(?:\\.|.)\?|[\^$]")

_Attributes = tuple[tuple[str, str], ...]  # names with values, in the order of the source
_Bits = dict[str, list[tuple[tuple[str, ...], int]]]
"""By value, the predicates that it fulfils: if its attribute is the first of the element's with such a name; or so."""
_UNSEEN = -1


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
        self.required = sum(predicate.bit for predicate in plain)
        self._others = [predicate for predicate in predicates if not predicate.is_plain]
        if not self.required:
            raise ValueError("no condition on attributes alone")  # elements without attributes are not looked at

    def holds(self, element: Any, mask: int) -> bool:
        return (
            mask & self.required == self.required
            and (self.tags is None or element.tag in self.tags)
            and all(mask & predicate.bit or predicate.excuses(element) for predicate in self._others)
        )


class SelectorSet:
    """Named lists of expressions `.//*[…][…]`, answered together: one look at a document's attributes serves them all.

    A final `[1]` is left out: the first of all matches is the expression's.
    Raises ValueError for an expression outside the little grammar above.
    """

    def __init__(self, paths: Mapping[str, Sequence[str]]) -> None:
        self._tests: dict[str, list[_Test]] = {}
        self._n_predicates = 0
        self.literals: dict[str, set[str]] = {}
        """By attribute: each value that passes any test holds one of these, in whatever case."""
        self._lists = {
            name: [_Expression(self._predicates(path)) for path in together] for name, together in paths.items()
        }
        self._masks = _Masks(self._tests)

    def __getitem__(self, name: str) -> Callable[[Any], list[Any]]:
        """The list as a callable from an element to its matching descendants."""
        return functools.partial(self._select, self._lists[name])

    def _select(self, expressions: list[_Expression], tree: Any) -> list[Any]:
        """Return the descendants of `tree` that match an expression, in document order, each once.

        The first call looks at the attributes of the whole document. What it finds is kept with the proxy of the
        document's root for as long as somebody holds that, so attributes must not change between calls; elements may
        be taken away, moved, or get other names.
        """
        asked = functools.reduce(operator.or_, (expression.required for expression in expressions))
        found = [
            element for element, mask in self._marks(tree) if mask & asked and _any_holds(expressions, element, mask)
        ]
        return [element for element in found if tree in element.iterancestors()]

    def _marks(self, tree: Any) -> list[tuple[Any, int]]:
        """Elements with an attribute that fulfils a predicate, and the bits of those predicates."""
        root = tree.getroottree().getroot()
        kept = vars(root).setdefault("_marks", {}) if hasattr(root, "__dict__") else {}
        marks: list[tuple[Any, int]] | None = kept.get(self)
        if marks is None:
            marks = kept[self] = self._masks.marks(root.iterdescendants("*"))
        return marks

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
        for pattern in alternatives(_pattern(atom)):
            for name in names:
                self.literals.setdefault(name, set()).add(literal_of(pattern).lower())
            literal = "" if flags else literal_of(pattern)
            found = None if literal == _unescaped(pattern) and not flags else re.compile(pattern, flags).search
            test = _Test(literal=literal, found=found, bit=bit, first_of=tuple(names) if len(names) > 1 else ())
            for name in names:
                self._tests.setdefault(name, []).append(test)


def _any_holds(expressions: list[_Expression], element: Any, mask: int) -> bool:
    return any(expression.holds(element, mask) for expression in expressions)


class _Masks:
    """Which predicates an element's attributes fulfil; remembered, as pages repeat their own and each other's."""

    _MAX_CHARS = 1 << 22  # of what is remembered

    def __init__(self, tests: Mapping[str, Sequence[_Test]]) -> None:
        self._tests = {name: _Tests(on_name) for name, on_name in tests.items()}
        self._known: dict[_Attributes, int] = {}
        self._n_chars = 0

    def marks(self, elements: Iterable[Any]) -> list[tuple[Any, int]]:
        """Those of the elements with an attribute that fulfils a predicate, and the bits of those predicates."""
        found = []
        for element in elements:
            if items := element.items():
                attributes = tuple(items)
                mask = self._known.get(attributes, _UNSEEN)
                if mask:
                    found.append((element, attributes, mask))
        learnt = self._learn({attributes for _, attributes, mask in found if mask == _UNSEEN})
        masks = ((element, mask if mask != _UNSEEN else learnt[attributes]) for element, attributes, mask in found)
        return [(element, mask) for element, mask in masks if mask]

    def _learn(self, new: set[_Attributes]) -> dict[_Attributes, int]:
        values: dict[str, dict[str, None]] = {name: {} for name in self._tests}
        for attributes in new:
            for name, value in attributes:
                if name in values:
                    values[name][value] = None
        bits = {}
        for name, tests in self._tests.items():
            bits[name] = tests.passed_by(list(values[name]))
        learnt = {attributes: _mask(attributes, bits) for attributes in new}
        self._n_chars += sum(len(text) for attributes in new for pair in attributes for text in pair)
        if self._n_chars > self._MAX_CHARS:
            self._known, self._n_chars = {}, 0
        else:
            self._known.update(learnt)
        return learnt


def _mask(attributes: _Attributes, bits: dict[str, _Bits]) -> int:
    mask = 0
    for name, value in attributes:
        for names, found in bits.get(name, {}).get(value, ()):
            if not names or next(other for other, _ in attributes if other in names) == name:
                mask |= found
    return mask


class _Tests:
    """All tests on one attribute."""

    def __init__(self, tests: Sequence[_Test]) -> None:
        self._tests = tests
        self._literals = Literals([test.literal for test in tests])

    def passed_by(self, values: list[str]) -> _Bits:
        """What each value fulfils; a value is tried only with tests whose literal it holds."""
        passed: _Bits = {}
        for i, j in self._literals.occurring(values) if values else ():
            value, test = values[i], self._tests[j]
            if test.found is None or test.found(value):
                passed.setdefault(value, []).append((test.first_of, test.bit))
        return passed


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


def alternatives(pattern: str) -> list[str]:
    """Split at the bars outside groups, and where a group comes first, inside it (no bar is in a character class)."""
    pieces, depth = [""], 0
    for char in pattern:
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            pieces.append("")
        else:
            pieces[-1] += char
    grouped = _LEADING_GROUP.fullmatch(pattern) if len(pieces) == 1 else None
    if not grouped:
        return pieces if len(pieces) == 1 else [part for piece in pieces for part in alternatives(piece)]
    return [f"{grouped[1]}{part}{grouped[3]}" for part in alternatives(grouped[2])]


def literal_of(pattern: str) -> str:
    """The longest run of characters that every match holds; empty where there is none."""
    n_groups = 1
    while n_groups:
        pattern, n_groups = _GROUP.subn("^", pattern)
    return _unescaped(max(_NOT_LITERAL.split(pattern), key=len))


def _unescaped(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
