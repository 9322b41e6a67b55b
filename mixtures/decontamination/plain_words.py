"""Words by which a document and an evaluation item are compared: no case, no punctuation.

A word is what is left of a run of characters without white space when all but letters, marks and numbers is taken out,
in lower case; of a run of punctuation alone nothing is left. This is GPT-3's rule ("a lowercase, whitespace delimited
word with no punctuation", arXiv 2005.14165, appendix C), written for Unicode: the text is brought to its composed form
(NFC) first, the classes are those of Python's `unicodedata` (L*, M*, N*), case is changed a character at a time.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.compiled import compiled

_SPACE: Final = 32
_NOTHING: Final = 0
_CODE_POINTS: Final = 0x110000
_SURROGATES: Final = range(0xD800, 0xE000)

_FNV_START: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words of several texts, one text after another."""

    letters: npt.NDArray[np.uint32]
    """Code points of all words, a space behind each."""
    letter_at: npt.NDArray[np.int64]
    """[words + 1]: where each word begins in `letters`."""
    hashes: npt.NDArray[np.uint64]
    """[words]"""
    first: npt.NDArray[np.int64]
    """[words]: where the run of characters that holds the word begins, in characters of its text's NFC."""
    end: npt.NDArray[np.int64]
    """[words]: where that run ends."""
    text_at: npt.NDArray[np.int64]
    """[texts + 1]: where each text's words begin."""

    def counts(self) -> npt.NDArray[np.int64]:
        """[texts]: number of words of each."""
        return np.diff(self.text_at)

    def text(self, word: int, count: int) -> str:
        """`count` words from number `word` on, with one space between them."""
        codes = self.letters[self.letter_at[word] : self.letter_at[word + count]]
        return codes.astype("<u4").tobytes().decode("utf-32-le", "replace")[:-1]


def split_words(texts: Sequence[str]) -> Words:
    """The words of each text."""
    composed = [nfc(text) for text in texts]
    codes = np.frombuffer("".join(composed).encode("utf-32-le", "surrogatepass"), "<u4")
    ends = np.fromiter(accumulate(map(len, composed)), np.int64, len(composed))
    most = (len(codes) + 1) // 2 + len(composed)  # a word is a character and what parts it from the next
    letters, letter_at = np.empty(len(codes) + most, np.uint32), np.zeros(most + 1, np.int64)
    hashes, first, end = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    text_at = np.zeros(len(composed) + 1, np.int64)
    n = int(_split(codes, ends, _table(), letters, letter_at, hashes, first, end, text_at))
    return Words(
        letters=letters[: letter_at[n]],
        letter_at=letter_at[: n + 1],
        hashes=hashes[:n],
        first=first[:n],
        end=end[:n],
        text_at=text_at,
    )


def nfc(text: str) -> str:
    """The text in its composed form."""
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


@cache
def _table() -> npt.NDArray[np.uint32]:
    """[_CODE_POINTS]: what becomes of each: a letter in lower case, a space, or nothing. Made once a process."""
    table = np.full(_CODE_POINTS, _NOTHING, np.uint32)
    for code in range(_CODE_POINTS):
        if code in _SURROGATES:
            continue
        char = chr(code)
        if char.isspace():
            table[code] = _SPACE
        elif unicodedata.category(char)[0] in "LMN":
            table[code] = ord(char.lower()[0])  # İ alone becomes two: i and a dot above, which is left out
    return table


@compiled
def _split(
    codes: Any,
    text_ends: Any,
    table: Any,
    letters: Any,
    letter_at: Any,
    hashes: Any,
    first: Any,
    end: Any,
    text_at: Any,
) -> Any:
    """Fill the arrays of `Words`; returns the number of words."""
    n_words, n_letters, begin = 0, 0, 0
    for text in range(len(text_ends)):
        run, value = begin, _FNV_START
        for at in range(begin, text_ends[text] + 1):
            plain = table[codes[at]] if at < text_ends[text] else np.uint32(_SPACE)
            if plain == _SPACE:
                if n_letters > letter_at[n_words]:
                    letters[n_letters] = plain
                    n_letters += 1
                    value ^= value >> _HALF
                    value *= _MIX
                    hashes[n_words] = value ^ (value >> _HALF)
                    first[n_words], end[n_words] = run - begin, at - begin
                    n_words += 1
                    letter_at[n_words] = n_letters
                run, value = at + 1, _FNV_START
            elif plain != _NOTHING:
                letters[n_letters] = plain
                n_letters += 1
                value = (value ^ np.uint64(plain)) * _FNV_PRIME
        begin = text_ends[text]
        text_at[text + 1] = n_words
    return n_words
