"""Phrases of page furniture as regular expressions: one set per language, from `stages/data/line_patterns.yaml`.

Few lines hold a phrase, and trying hundreds of expressions on each would cost more than everything else. So each set
has `keys` as well, hashes of the first two words of its phrases, for a kernel that names the lines worth trying.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import NamedTuple

import numpy as np
import yaml

from stages.compiled import compiled
from stages.segment import CharTables, CodePoints, Hashes, char_tables, mix64, shingle_words

DROPPING = ("counter", "whole", "opening")
CUTTING = ("start", "end", "anywhere")
PHRASE_RULES = (*DROPPING, *CUTTING)
"""Rules that look for phrases, in the order in which they are tried."""

_EVERYWHERE = "en"  # its lists apply to every language
_NUMBER = r"\d+(?:[.,'’\s]\d+)*\s?(?:k|m|mln|mio|mil|tys|tis|tsd)?\+?"
_SITE = (
    "(?:bluesky|facebook|flipboard|google|instagram|linkedin|mastodon|messenger|pinterest|reddit|telegram|threads|"
    "tiktok|tumblr|twitter|vk|whatsapp|x|xing|youtube)"
)
_PLACES = {"<n>": _NUMBER, "<site>": _SITE}
_GAP = r"[\s/|\-‐-―]+"
_BARE = str.maketrans("łøđ", "lod")  # letters that Unicode does not take apart
_ALSO = {"ș": {"ş"}, "ț": {"ţ"}, "'": {"’"}}
# What may stand between a phrase and the text that it is cut from: white space, bars, arrows, dashes.
_LOOSE = r"[\s|·•*»«›‹→←>–—\-/:(\[]*"
# Around a phrase that is the whole line. No quotes and long dashes in front: those begin speech.
_BEFORE, _AFTER = r"[\s|·•*»›→>+\-]*", r"[\s\d|·.…:!?»›→>+()]*"


class Cut(NamedTuple):
    """What a rule does to a line: `text` is what it leaves, None where the line goes."""

    rule: str
    text: str | None


class Keys(NamedTuple):
    """Sorted hashes, uint64: a line that matches a phrase has one of `phrases`, a counter has one of `units`."""

    phrases: Hashes
    units: Hashes


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """The expressions of one language, by rule, and the keys of the lines that they may match."""

    keys: Keys
    dropping: dict[str, re.Pattern[str]]
    cutting: dict[str, re.Pattern[str]]

    def cut(self, line: str, rules: Iterable[str]) -> Cut | None:
        """Apply the first of `PHRASE_RULES` that is among `rules` and matches `line`; None where none does."""
        for rule, pattern in self.dropping.items():
            if rule in rules and pattern.match(line):
                return Cut(rule, None)
        for rule, pattern in self.cutting.items():
            found = pattern.search(line) if rule in rules else None
            if found and (rule != "end" or _is_button(found["phrase"], line[: found.start("phrase")])):
                return Cut(rule, f"{line[: found.start()]} {line[found.end() :]}".strip())
        return None


def _is_button(phrase: str, before: str) -> bool:
    """Whether `phrase`, at a line's end, is no part of the sentence `before`: "The plan. Read more"."""
    before = before.rstrip()
    return not before[-1:].isalnum() or (phrase[0].isupper() and (phrase[1:].islower() or phrase.isupper()))


@functools.lru_cache(maxsize=64)
def patterns_of(language: str) -> Patterns:
    """The expressions for pages in `language`; a language without lists of its own has those for all."""
    lists = _lists(language)
    phrases = {rule: _any(lists[rule]) for rule in PHRASE_RULES if rule != "counter"}
    units = _any(lists["counters"])
    count = rf"(?:{_NUMBER}\s*{units}(?!\w)|(?<!\w){units}\s*(?:\(\s*{_NUMBER}\s*\)|:\s*{_NUMBER}(?!\w)))"
    dropping = {
        "counter": rf"{_BEFORE}{count}(?:[\s|·•,;/&\-]*{count})*{_AFTER}$",
        "whole": rf"{_BEFORE}{phrases['whole']}{_AFTER}$",
        "opening": rf"{_BEFORE}{phrases['opening']}(?!\w)",
    }
    cutting = {
        "start": rf"^{_BEFORE}{phrases['start']}(?:\s*$|\s*[|·•»›→>:/\[(]{_LOOSE})",
        "end": rf"{_LOOSE}(?<!\w)(?P<phrase>{phrases['end']})[\s|·.…»›→>:)\]]*$",
        "anywhere": rf"{_LOOSE}(?<![\w&?/-]){phrases['anywhere']}(?![\w=/-]){_LOOSE}",
    }
    return Patterns(
        keys=Keys(_keys(phrase for rule in phrases for phrase in lists[rule]), _keys(lists["counters"])),
        dropping={rule: re.compile(pattern, re.IGNORECASE) for rule, pattern in dropping.items()},
        cutting={rule: re.compile(pattern, re.IGNORECASE) for rule, pattern in cutting.items()},
    )


@functools.cache
def _data() -> dict[str, dict[str, list[str]]]:
    text = resources.files("stages").joinpath("data/line_patterns.yaml").read_text("utf-8")
    data: dict[str, dict[str, list[str]]] = yaml.safe_load(text)
    return data


def _lists(language: str) -> dict[str, list[str]]:
    """Phrases by kind, the longest first, so that the longest that fits is found."""
    everywhere, own = _data()[_EVERYWHERE], _data().get(language, {})
    both = {kind: {*phrases, *own.get(kind, [])} for kind, phrases in everywhere.items()}
    return {kind: sorted(phrases, key=lambda phrase: (-len(phrase), phrase)) for kind, phrases in both.items()}


def _any(phrases: Iterable[str]) -> str:
    return "(?:" + "|".join(map(_expression, phrases)) + ")"


def _expression(phrase: str) -> str:
    """A phrase in `re` syntax: `léa <n>` becomes `l[ée]a`, a gap and a number."""
    words = phrase.replace("-", " ").split()
    return _GAP.join(_PLACES.get(word) or "".join(map(_letter, word)) for word in words)


def _keys(phrases: Iterable[str]) -> Hashes:
    tables = folding_tables()
    keys = set()
    for phrase in phrases:
        text = " ".join(word for word in phrase.split() if word not in _PLACES)
        code_points = np.array([ord(char) for char in text], np.uint32)
        hashes = np.empty(code_points.size // 2 + 1, np.uint64)
        n_words = shingle_words(code_points, tables, hashes)
        keys.add(int(hashes[0] if n_words == 1 else pair_key(hashes[0], hashes[1])))
    return np.array(sorted(keys), np.uint64)


@functools.cache
def folding_tables() -> CharTables:
    """The segmenter's tables, with the letters that phrases are written with lower-cased to their bare form."""
    classes, lower = char_tables()
    lower = lower.copy()
    for char in {char for lists in _data().values() for phrases in lists.values() for char in "".join(phrases)}:
        for form in _forms(char):
            for case in {form, form.upper()}:
                if len(case) == 1:  # not the "SS" of "ß"
                    lower[ord(case)] = ord(_bare(char))
    return CharTables(classes, lower)


@compiled
def pair_key(first: np.uint64, second: np.uint64) -> np.uint64:
    """Key of a phrase that begins with two words, from their hashes."""
    return mix64(first) ^ second


@compiled
def hinted(code_points: CodePoints, tables: CharTables, keys: Keys) -> tuple[bool, bool]:
    """Whether the line may hold a phrase, and a unit of a counter."""
    hashes = np.empty(code_points.size // 2 + 1, np.uint64)
    n_words = shingle_words(code_points, tables, hashes)
    phrase, unit = False, False
    for i in range(n_words):
        phrase |= _holds(keys.phrases, hashes[i])
        unit |= _holds(keys.units, hashes[i])
        if i:
            pair = pair_key(hashes[i - 1], hashes[i])
            phrase |= _holds(keys.phrases, pair)
            unit |= _holds(keys.units, pair)
    return phrase, unit


@compiled
def _holds(table: Hashes, key: np.uint64) -> bool:
    at = np.searchsorted(table, key)
    return bool(at < table.size and table[at] == key)


def _letter(char: str) -> str:
    forms = "".join(sorted(_forms(char)))
    return f"[{forms}]" if len(forms) > 1 else re.escape(forms)


def _forms(char: str) -> set[str]:
    """A character, its bare form and, for the Romanian comma below, the cedilla that often stands for it."""
    return {char, _bare(char)} | _ALSO.get(char, set())


def _bare(char: str) -> str:
    return unicodedata.normalize("NFD", char)[0].translate(_BARE)
