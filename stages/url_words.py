"""The word score of addresses: strict words, words within words, soft words, and phrases that excuse them.

Two readings of an address are searched, both in lower case and without accents: its words, each between dashes of its
own (`-wet--paint-`), and all its letters run together (`wetpaint`). What is allowed is taken out of both first. Few
addresses hold any of the letters looked for, so one pass of an automaton (Aho and Corasick 1975) over the column
leaves the exact score with those only.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.segment import Bytes, Utf8, utf8_of
from stages.url_scan import after_authority_mark
from stages.verdicts import Verdict

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_NO_LETTER, _UNREAD = 255, 254  # a separator; a byte that stands for something else than itself


def _builtin_allowed() -> tuple[str, ...]:
    return builtin_words().allowed


@dataclass(frozen=True, kw_only=True)
class UrlWords:
    """Word lists; entries may be phrases, case and accents do not count, entries that begin with `#` are comments.

    strict: one whole word drops the page. strict_subwords: one drops it anywhere in the URL, across separators.
    soft: `UrlRules.soft_hits` different whole words drop it. allowed: taken out of the URL before all of these.
    """

    strict: tuple[str, ...] = ()
    strict_subwords: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    allowed: tuple[str, ...] = field(default_factory=_builtin_allowed)

    def __or__(self, other: UrlWords) -> UrlWords:
        """The words of both."""
        return UrlWords(
            strict=self.strict + other.strict,
            strict_subwords=self.strict_subwords + other.strict_subwords,
            soft=self.soft + other.soft,
            allowed=self.allowed + other.allowed,
        )


@functools.cache
def builtin_words() -> UrlWords:
    """The word lists of `stages/data/url_words.yaml`."""
    data = yaml.safe_load(resources.files("stages").joinpath("data/url_words.yaml").read_text("utf-8"))
    kinds = {kind: tuple(word for group in groups.values() for word in group) for kind, groups in data.items()}
    return UrlWords(**kinds)


class WordScore:
    """Scores addresses by word lists."""

    def __init__(self, words: UrlWords) -> None:
        strict, soft, subwords = map(_spellings, (words.strict, words.soft, words.strict_subwords))
        self._strict, self._soft = _Phrases(strict), _Phrases(soft)
        self._subwords = _Phrases(_squashed(subwords))
        allowed = _spellings(words.allowed)
        self._allowed, self._allowed_squashed = _Phrases(allowed), _Phrases(_squashed(allowed))
        self._automaton = build_automaton(_squashed(strict + soft), _squashed(subwords))

    def __call__(self, canonical_urls: pa.Array[Any], soft_hits: int) -> dict[int, Verdict]:
        """Verdicts by row: `strict_word` (value: hits) or `soft_words` (value: different hits)."""
        rows = np.flatnonzero(candidates(canonical_urls, self._automaton)).tolist()
        scored = ((row, self._score(canonical_urls[row].as_py(), soft_hits)) for row in rows)
        return {row: verdict for row, verdict in scored if verdict}

    def _score(self, url: str, soft_hits: int) -> Verdict | None:
        spelt = _spelling(unquote(url.partition("://")[2]))
        squashed = self._allowed_squashed.cut(spelt.replace("-", ""))
        spelt = self._allowed.cut(spelt)
        if strict := self._strict.found(spelt) + self._subwords.found(squashed):
            return Verdict("strict_word", len(strict), 1, strict[0])
        soft = self._soft.found(spelt)
        return Verdict("soft_words", len(soft), soft_hits, " ".join(soft)) if len(soft) >= soft_hits else None


class _Phrases:
    """Spelt phrases, sought together."""

    def __init__(self, phrases: tuple[str, ...]) -> None:
        self._phrases = phrases
        # Letters, digits and dashes: nothing to escape. The longest of those that begin at one place is taken.
        self._any = re.compile("|".join(sorted(phrases, key=len, reverse=True))) if phrases else None

    def cut(self, text: str) -> str:
        """`text` with a gap in place of each phrase."""
        return self._any.sub(" ", text) if self._any else text

    def found(self, text: str) -> list[str]:
        """The phrases in `text`, first come first, as people write them."""
        if not self._any or not self._any.search(text):
            return []
        places = sorted((place, phrase) for phrase in self._phrases if (place := text.find(phrase)) >= 0)
        return [phrase.replace("--", " ").strip("-") for _, phrase in places]


def _spelling(text: str) -> str:
    """The words of `text` in lower case, without accents, each between dashes of its own: -wet--paint-."""
    lower = text.lower()
    if not lower.isascii():
        lower = "".join(char for char in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(char))
    return "".join([f"-{word}-" for word in _SEPARATORS.split(lower) if word])


def _spellings(entries: Iterable[str]) -> tuple[str, ...]:
    spellings = {_spelling(entry) for entry in entries if not entry.startswith("#")}
    return tuple(sorted(spellings - {""}))


def _squashed(spellings: Sequence[str]) -> tuple[str, ...]:
    return tuple(spelling.replace("-", "") for spelling in spellings)


class Automaton(NamedTuple):
    """Aho and Corasick's, over the letters of a squashed address.

    step: int32[states, 36], the next state. anywhere: whether a pattern that counts anywhere ends in this state.
    whole: length of the longest pattern ending here that counts only from one word's start to a word's end, 0 for
    none. shorter: the state of the next shorter such pattern, 0 for none.
    """

    step: NDArray[np.int32]
    anywhere: NDArray[np.bool_]
    whole: NDArray[np.int32]
    shorter: NDArray[np.int32]
    letters: Bytes


def build_automaton(whole: Iterable[str], anywhere: Iterable[str]) -> Automaton:
    """Build the automaton of patterns made of a–z and 0–9."""
    children: list[dict[int, int]] = [{}]
    ends_whole, ends_anywhere = {}, set()

    def insert(pattern: str) -> int:
        state = 0
        for char in pattern:
            letter = _ALPHABET.index(char)
            if letter not in children[state]:
                children[state][letter] = len(children)
                children.append({})
            state = children[state][letter]
        return state

    for pattern in whole:
        ends_whole[insert(pattern)] = len(pattern)
    for pattern in anywhere:
        ends_anywhere.add(insert(pattern))

    n = len(children)
    step, back = np.zeros((n, len(_ALPHABET)), np.int32), np.zeros(n, np.int32)
    found, lengths, shorter = np.zeros(n, np.bool_), np.zeros(n, np.int32), np.zeros(n, np.int32)
    queue = deque([0])
    while queue:
        state = queue.popleft()
        behind = back[state]
        found[state] = state in ends_anywhere or found[behind]
        if state in ends_whole:
            lengths[state], shorter[state] = ends_whole[state], behind if lengths[behind] else 0
        elif state:
            lengths[state], shorter[state] = lengths[behind], shorter[behind]
        step[state] = step[behind] if state else 0
        for letter, child in children[state].items():
            back[child] = step[behind, letter] if state else 0
            step[state, letter] = child
            queue.append(child)
    return Automaton(step, found, lengths, shorter, _letters())


def _letters() -> Bytes:
    letters = np.full(256, _NO_LETTER, np.uint8)
    for index, char in enumerate(_ALPHABET):
        letters[ord(char)] = letters[ord(char.upper())] = index
    letters[ord("%")] = letters[0x80:] = _UNREAD
    return letters


def candidates(canonical_urls: pa.Array[Any], automaton: Automaton) -> NDArray[np.bool_]:
    """Which addresses hold a pattern, or have escapes or other scripts, which only the exact score reads: bool[n]."""
    return _candidates(utf8_of(canonical_urls), automaton)


@compiled
def _candidates(text: Utf8, automaton: Automaton) -> NDArray[np.bool_]:
    n = text.offsets.size - 1
    out = np.zeros(n, np.bool_)
    for i in range(n):
        end = text.offsets[i + 1]
        start = after_authority_mark(text.data, text.offsets[i], end)
        out[i] = start < end and _may_score(text.data[start:end], automaton)
    return out


@compiled
def _may_score(address: Bytes, automaton: Automaton) -> bool:
    begins = np.zeros(address.size + 1, np.bool_)  # by place among the letters alone: whether a word begins there
    n, state, inside = 0, 0, False
    for i in range(address.size):
        letter = automaton.letters[address[i]]
        if letter == _UNREAD:
            return True
        if letter == _NO_LETTER:
            inside = False
            continue
        begins[n] = not inside
        inside = True
        n += 1
        state = automaton.step[state, letter]
        if automaton.anywhere[state]:
            return True
        if automaton.whole[state] == 0:
            continue
        if i + 1 < address.size and automaton.letters[address[i + 1]] != _NO_LETTER:
            continue  # no word ends here; an escape may follow, and then all of the address is a candidate anyway
        at = state
        while at != 0 and automaton.whole[at] != 0:
            if begins[n - automaton.whole[at]]:
                return True
            at = automaton.shorter[at]
    return False
