"""Finding the n-grams of evaluation sets in documents: a table of hashes, and the letters themselves to be sure.

Both sides are split by `plain_words`. A passage of n words or more gives all its n-grams; a shorter one of
at least `least` words is one n-gram as a whole. Hashes decide where to look, letters whether it is the same: a
collision finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.compiled import compiled
from mixtures.decontamination.plain_words import Words, split_words

Int64s = npt.NDArray[np.int64]

_BASE: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_HALF: Final = np.uint64(32)
_SIX: Final = np.uint64(6)
_LOW_SIX: Final = np.uint64(63)
_ONE: Final = np.uint64(1)
_SIEVE_BITS: Final = 16
"""Bits of the sieve for each n-gram: a place that holds none passes it once in 16 at most."""


@dataclass(frozen=True, kw_only=True)
class NgramIndex:
    """The different n-grams of passages, numbered in order of their first places."""

    words: Words
    """Of the passages that n-grams were taken from."""
    word: Int64s
    """[ngrams]: where each begins in `words`."""
    length: Int64s
    """[ngrams], in words."""
    item: Int64s
    """[ngrams]: the first item that has it."""
    items: Int64s
    """[ngrams]: how many items have it."""
    lengths: Int64s
    """Lengths that occur, greatest first."""
    slots: npt.NDArray[np.int32]
    """[a power of two]: number of the n-gram, or -1; found by its hash and what follows."""
    keys: npt.NDArray[np.uint64]
    """[slots]: its hash."""
    sieve: npt.NDArray[np.uint64]
    """[a power of two]: a bit for each hash that occurs."""

    def __len__(self) -> int:
        return len(self.word)

    def text(self, ngram: int) -> str:
        """The words of an n-gram."""
        return self.words.text(int(self.word[ngram]), int(self.length[ngram]))


@dataclass(frozen=True, kw_only=True)
class Hits:
    """The places of documents at which an n-gram begins, in their order; the longest where there are several."""

    word: Int64s
    """[hits]: number of the n-gram's first word, counted over all documents."""
    ngram: Int64s
    """[hits]: number of the n-gram in the index."""
    hit_at: Int64s
    """[documents + 1]: where each document's hits begin."""


def index_ngrams(passages: Sequence[str], items: Sequence[int], n: int, least: int) -> NgramIndex:
    """The n-grams of `passages`, of which number i belongs to item `items[i]`; those of an item stand together."""
    words = split_words(passages)
    word, length, item = _places(words, np.array(items, np.int64), n, least)
    n_slots = 1 << max(4, (2 * len(word)).bit_length())
    slots, keys = np.full(n_slots, -1, np.int32), np.zeros(n_slots, np.uint64)
    kept, last, count = np.empty(len(word), np.int64), np.empty(len(word), np.int64), np.empty(len(word), np.int64)
    found = int(
        _insert(words.hashes, words.letters, words.letter_at, word, length, item, slots, keys, kept, last, count)
    )
    kept = kept[:found]
    return NgramIndex(
        words=words,
        word=word[kept],
        length=length[kept],
        item=item[kept],
        items=count[:found],
        lengths=np.unique(length)[::-1].copy(),
        slots=slots,
        keys=keys,
        sieve=_sieve(keys[slots >= 0]),
    )


def find_ngrams(index: NgramIndex, documents: Words) -> Hits:
    """Where the n-grams of `index` stand in `documents`."""
    most = len(documents.hashes)
    word, ngram = np.empty(most, np.int64), np.empty(most, np.int64)
    hit_at = np.zeros(len(documents.text_at), np.int64)
    if len(index) and most:
        _find(
            (documents.hashes, documents.letters, documents.letter_at, documents.text_at),
            (index.words.letters, index.words.letter_at, index.word, index.length),
            (index.lengths, index.slots, index.keys, index.sieve),
            (word, ngram, hit_at),
        )
    return Hits(word=word[: hit_at[-1]], ngram=ngram[: hit_at[-1]], hit_at=hit_at)


def _places(words: Words, items: Int64s, n: int, least: int) -> tuple[Int64s, Int64s, Int64s]:
    """First word, length and item of every n-gram, repeated ones included."""
    counts = words.counts()
    per_passage = np.where(counts >= n, counts - n + 1, np.where(counts >= least, 1, 0))
    passage = np.repeat(np.arange(len(counts)), per_passage)
    before = np.repeat(np.cumsum(per_passage) - per_passage, per_passage)
    word = words.text_at[passage] + np.arange(len(passage)) - before
    return word, np.minimum(counts[passage], n), items[passage]


def _sieve(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    n_words = 1 << max(4, (len(keys) * _SIEVE_BITS // 64).bit_length())
    sieve = np.zeros(n_words, np.uint64)
    np.bitwise_or.at(sieve, ((keys >> _SIX) & np.uint64(n_words - 1)).astype(np.int64), _ONE << (keys & _LOW_SIX))
    return sieve


@compiled
def _mixed(value: Any, length: Any) -> Any:
    """A hash whose low bits depend on all of `value`, other for other lengths."""
    value = (value + np.uint64(length)) * _MIX
    value ^= value >> _HALF
    value *= _MIX
    return value ^ (value >> _HALF)


@compiled
def _same(letters: Any, begin: Any, end: Any, others: Any, other_begin: Any, other_end: Any) -> Any:
    """Whether two stretches of words are the same; the spaces between them make boundaries count."""
    same = end - begin == other_end - other_begin
    i = 0
    while same and i < end - begin:
        same = letters[begin + i] == others[other_begin + i]
        i += 1
    return same


@compiled
def _insert(
    hashes: Any,
    letters: Any,
    letter_at: Any,
    word: Any,
    length: Any,
    item: Any,
    slots: Any,
    keys: Any,
    kept: Any,
    last: Any,
    count: Any,
) -> Any:
    """Fill the table; of each different n-gram its first place, the item counted last, and how many there were."""
    mask, found = np.uint64(len(slots) - 1), 0
    for place in range(len(word)):
        value = np.uint64(0)
        for i in range(word[place], word[place] + length[place]):
            value = value * _BASE + hashes[i]
        value = _mixed(value, length[place])
        begin, end = letter_at[word[place]], letter_at[word[place] + length[place]]
        at = value & mask
        while slots[at] >= 0:
            other = kept[slots[at]]
            if keys[at] == value and _same(
                letters, begin, end, letters, letter_at[word[other]], letter_at[word[other] + length[other]]
            ):
                break
            at = (at + _ONE) & mask
        number = slots[at]
        if number < 0:
            slots[at], keys[at] = found, value
            kept[found], last[found], count[found] = place, item[place], 1
            found += 1
        elif last[number] != item[place]:
            last[number] = item[place]
            count[number] += 1
    return found


@compiled
def _find(documents: Any, ngrams: Any, table: Any, out: Any) -> None:
    """Fill `out` (`Hits`): hashes of all stretches from sums over the words before, looked up longest first."""
    hashes, letters, letter_at, text_at = documents
    others, other_at, word, length = ngrams
    lengths, slots, keys, sieve = table
    hit_word, hit_ngram, hit_at = out
    mask, sieve_mask = np.uint64(len(slots) - 1), np.uint64(len(sieve) - 1)
    powers = np.ones(len(lengths), np.uint64)
    for i in range(len(lengths)):
        for _ in range(lengths[i]):
            powers[i] *= _BASE
    sums = np.zeros(len(hashes) + 1, np.uint64)
    for i in range(len(hashes)):
        sums[i + 1] = sums[i] * _BASE + hashes[i]
    n = 0
    for text in range(len(text_at) - 1):
        end = text_at[text + 1]
        for first in range(text_at[text], end - lengths[-1] + 1):
            for i in range(len(lengths)):
                if first + lengths[i] > end:
                    continue
                value = _mixed(sums[first + lengths[i]] - sums[first] * powers[i], lengths[i])
                if not (sieve[(value >> _SIX) & sieve_mask] >> (value & _LOW_SIX)) & _ONE:
                    continue
                begin, stop = letter_at[first], letter_at[first + lengths[i]]
                at, found = value & mask, -1
                while slots[at] >= 0 and found < 0:
                    other = slots[at]
                    if keys[at] == value and _same(
                        letters, begin, stop, others, other_at[word[other]], other_at[word[other] + length[other]]
                    ):
                        found = other
                    at = (at + _ONE) & mask
                if found >= 0:
                    hit_word[n], hit_ngram[n] = first, found
                    n += 1
                    break
        hit_at[text + 1] = n
