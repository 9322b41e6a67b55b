"""Words as exact-substring search compares them, and a hash of every run of k of them.

Words are the shingle words of `stages.segment` as written, in upper and lower case. The marks between two words, all
that is neither `\\w` nor white space, belong to a window that holds both; marks outside of its first and last word do
not. Two windows are *equal* where their words are, one by one, and the marks between them: `a, b` is `a ,b` and
`a,\\nb`, but neither `a b` nor `a. b`. So a passage that was wrapped anew is found, and in scripts whose vowels are
combining marks, which are no `\\w`, nothing is confused for want of them.

Words of another kind, say the tokens of a tokenizer, are made by `words_from`.

Hashes only propose: equal hashes are followed by a comparison of the texts (`stages.substrings`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from stages.compiled import compiled
from stages.segment import (
    SPACE,
    WORD,
    Bytes,
    CodePoints,
    Hashes,
    Offsets,
    Utf8,
    char_tables,
    decode,
    hash_end,
    hash_seed,
    hash_step,
    mix64,
    utf8_of,
)

_WINDOW_BASE = np.uint64(0xA0761D6478BD642F)  # odd
_ZERO, _ONE = np.uint64(0), np.uint64(1)


class Words(NamedTuple):
    """Words of texts: text i has words offsets[i]:offsets[i + 1], word j being text.data[starts[j]:ends[j]].

    `alone` is the hash of a word, `joined` the hash of it together with the marks between it and the word before;
    where a tokenizer leaves no marks, they are the same. All int64 and uint64, 32 bytes a word. `starts` and `ends` lie
    on character boundaries and ascend; two tokens may share a character.
    """

    text: Utf8
    alone: Hashes
    joined: Hashes
    starts: Offsets
    ends: Offsets
    offsets: Offsets


class WindowHashes(NamedTuple):
    """The window at word p of text i has hashes[offsets[i] + p]; a text of fewer than k words has none."""

    hashes: Hashes
    offsets: Offsets


Split = Callable[[pa.Array], Words]
"""Splits a column of texts into words: `words_of`, or a tokenizer's call of `words_from`."""


def words_of(text: pa.Array[Any]) -> Words:
    """The words of a column of texts (valid UTF-8); a null text has none."""
    utf8 = utf8_of(text)
    return Words(utf8, *_words(utf8, char_tables().classes))


def words_from(text: pa.Array[Any], keys: Hashes, starts: Offsets, ends: Offsets, offsets: Offsets) -> Words:
    """Words of another kind, say tokens: `keys` tell them apart, `starts` and `ends` are bytes of each text."""
    utf8 = utf8_of(text)
    base = np.repeat(utf8.offsets[:-1], np.diff(offsets))
    hashes = _scrambled(np.asarray(keys, np.uint64))
    return Words(utf8, hashes, hashes, starts + base, ends + base, offsets)


def window_hashes(words: Words, k: int) -> WindowHashes:
    """Hash every window of `k` words, in constant time each; 8 bytes a window."""
    return WindowHashes(*_window_hashes(words.alone, words.joined, words.offsets, k))


def text_window_hashes(text: pa.Array[Any], k: int) -> WindowHashes:
    """The same for a column of texts, whose words are forgotten one text after the other: half the time."""
    return WindowHashes(*_text_window_hashes(utf8_of(text), char_tables().classes, k))


@compiled
def _words(text: Utf8, classes: Bytes) -> tuple[Hashes, Hashes, Offsets, Offsets, Offsets]:
    n_texts = text.offsets.size - 1
    room = (text.offsets[n_texts] - text.offsets[0]) // 2 + n_texts + 1  # what is never written takes no memory
    alone, joined = np.empty(room, np.uint64), np.empty(room, np.uint64)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    code_points = np.empty(_longest(text), np.uint32)
    offsets = np.zeros(n_texts + 1, np.int64)
    for i in range(n_texts):
        n, at = offsets[i], text.offsets[i]
        n_chars = decode(text.data, at, text.offsets[i + 1], code_points)
        offsets[i + 1] = n + _words_of_text(
            code_points[:n_chars], at, classes, alone[n:], joined[n:], starts[n:], ends[n:]
        )
    n = offsets[n_texts]
    return alone[:n], joined[:n], starts[:n], ends[:n], offsets


@compiled
def _text_window_hashes(text: Utf8, classes: Bytes, k: int) -> tuple[Hashes, Offsets]:
    """One text's words after the other in the same memory: fresh pages cost more than the hashing."""
    n_texts, longest = text.offsets.size - 1, _longest(text)
    alone, joined = np.empty(longest // 2 + 1, np.uint64), np.empty(longest // 2 + 1, np.uint64)
    starts, ends = np.empty(longest // 2 + 1, np.int64), np.empty(longest // 2 + 1, np.int64)
    code_points = np.empty(longest, np.uint32)
    hashes = np.empty((text.offsets[n_texts] - text.offsets[0]) // 2 + n_texts, np.uint64)
    offsets = np.zeros(n_texts + 1, np.int64)
    for i in range(n_texts):
        at = text.offsets[i]
        n_chars = decode(text.data, at, text.offsets[i + 1], code_points)
        n = _words_of_text(code_points[:n_chars], at, classes, alone, joined, starts, ends)
        offsets[i + 1] = offsets[i] + max(n - k + 1, 0)
        _roll(alone[:n], joined[:n], k, hashes[offsets[i] : offsets[i + 1]])
    return hashes[: offsets[n_texts]].copy(), offsets


@compiled
def _longest(text: Utf8) -> int:
    longest = 0
    for i in range(text.offsets.size - 1):
        longest = max(longest, text.offsets[i + 1] - text.offsets[i])
    return longest


@compiled
def _words_of_text(
    code_points: CodePoints, at: int, classes: Bytes, alone: Hashes, joined: Hashes, starts: Offsets, ends: Offsets
) -> int:
    """Fill in the words of one decoded text whose first byte is `at`; return their number."""
    n, inside = 0, False
    word, marks = hash_seed(), hash_seed()
    for code in code_points:
        kind = classes[code]
        if kind & WORD:
            if not inside:
                starts[n], inside, word = at, True, hash_seed()
            word = hash_step(word, code)
        else:
            if inside:
                n += _end_word(n, at, word, marks, alone, joined, ends)
                inside, marks = False, hash_seed()
            if not kind & SPACE:
                marks = hash_step(marks, code)
        at += 1 if code < 0x80 else (2 if code < 0x800 else (3 if code < 0x10000 else 4))
    if inside:
        n += _end_word(n, at, word, marks, alone, joined, ends)
    return n


@compiled
def _end_word(n: int, at: int, word: np.uint64, marks: np.uint64, alone: Hashes, joined: Hashes, ends: Offsets) -> int:
    """Fill in word n, which ends before byte `at`; return 1."""
    ends[n] = at
    alone[n] = hash_end(word)
    joined[n] = alone[n] if marks == hash_seed() else hash_end(word + (marks << _ONE))
    return 1


@compiled
def _window_hashes(alone: Hashes, joined: Hashes, offsets: Offsets, k: int) -> tuple[Hashes, Offsets]:
    n_texts = offsets.size - 1
    starts = np.zeros(n_texts + 1, np.int64)
    for i in range(n_texts):
        starts[i + 1] = starts[i] + max(offsets[i + 1] - offsets[i] - k + 1, 0)
    hashes = np.empty(starts[n_texts], np.uint64)
    for i in range(n_texts):
        words = slice(offsets[i], offsets[i + 1])
        _roll(alone[words], joined[words], k, hashes[starts[i] : starts[i + 1]])
    return hashes, starts


@compiled
def _roll(alone: Hashes, joined: Hashes, k: int, out: Hashes) -> None:
    """Hashes of the windows of one text: a polynomial over word hashes, mod 2⁶⁴, rolled from one to the next.

    The first word counts alone, whatever stood before it, so `rest` holds the other k - 1.
    """
    if out.size == 0:
        return
    top, second, rest = _ONE, _ONE, _ZERO  # base^(k - 1), base^(k - 2)
    for j in range(1, k):
        top, second = top * _WINDOW_BASE, top
        rest = rest * _WINDOW_BASE + joined[j]
    out[0] = mix64(alone[0] * top + rest)
    for p in range(1, out.size):
        if k > 1:
            rest = (rest - joined[p] * second) * _WINDOW_BASE + joined[p + k - 1]
        out[p] = mix64(alone[p] * top + rest)


@compiled
def _scrambled(keys: Hashes) -> Hashes:
    hashes = np.empty(keys.size, np.uint64)
    for i in range(keys.size):
        hashes[i] = hash_end(keys[i])
    return hashes
