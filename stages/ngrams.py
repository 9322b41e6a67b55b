"""Counting repeats by hash: the kernels under the repetition signals.

All work on hashes in reading order and on `ends`, where ends[i] is the length in characters of the first i words
together, so that words [i, j) are ends[j] - ends[i] characters long.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.segment import Hashes

_GRAM_BASE = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)

Counts = NDArray[np.int64]


class HashTable(NamedTuple):
    """Open addressing, a power of two of slots, at most half full; key 0 marks an empty slot."""

    keys: Hashes
    counts: Counts
    firsts: Counts


@compiled
def hash_table(n: int) -> HashTable:
    """Make an empty table for up to `n` keys."""
    slots = 4
    while slots < 2 * n:
        slots *= 2
    return HashTable(np.zeros(slots, np.uint64), np.zeros(slots, np.int64), np.zeros(slots, np.int64))


@compiled
def slot_of(keys: Hashes, key: np.uint64) -> np.int64:
    """Slot that holds `key`, or the empty one where it belongs."""
    mask = keys.size - 1
    slot = np.int64(key & np.uint64(mask))
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def widen(grams: Hashes, words: Hashes, n: int) -> Hashes:
    """Turn the hashes of (n - 1)-grams into those of n-grams, in place; one fewer, none where the words are too few."""
    size = max(words.size - n + 1, 0)
    for i in range(size):
        gram = grams[i] * _GRAM_BASE + words[i + n - 1]
        grams[i] = gram if gram != 0 else _ONE
    return grams[:size]


@compiled
def top_chars(grams: Hashes, ends: Counts, n: int, table: HashTable) -> int:
    """Length of the commonest n-gram, spaces included, times its count; of equally common ones the first to occur."""
    table.keys[:] = 0
    best_count, best_first = 0, 0
    for i in range(grams.size):
        slot = slot_of(table.keys, grams[i])
        if table.keys[slot] == 0:
            table.keys[slot], table.counts[slot], table.firsts[slot] = grams[i], 0, i
        table.counts[slot] += 1
        count, first = table.counts[slot], table.firsts[slot]
        if count > best_count or (count == best_count and first < best_first):
            best_count, best_first = count, first
    return int((ends[best_first + n] - ends[best_first] + n - 1) * best_count)


@compiled
def duplicate_chars(grams: Hashes, ends: Counts, n: int, table: HashTable) -> int:
    """Length of the words in n-grams met before; a repeated n-gram is skipped as a whole, and not remembered."""
    table.keys[:] = 0
    chars, i = 0, 0
    while i < grams.size:
        slot = slot_of(table.keys, grams[i])
        if table.keys[slot] == 0:
            table.keys[slot] = grams[i]
            i += 1
        else:
            chars += ends[i + n] - ends[i]
            i += n
    return chars


@compiled
def repeats(hashes: Hashes, lengths: Counts) -> tuple[int, int]:
    """Number of elements equal to an earlier one, and their length together."""
    keys = hash_table(hashes.size).keys
    n, chars = 0, 0
    for i in range(hashes.size):
        slot = slot_of(keys, hashes[i])
        if keys[slot] == 0:
            keys[slot] = hashes[i]
        else:
            n += 1
            chars += lengths[i]
    return n, chars
