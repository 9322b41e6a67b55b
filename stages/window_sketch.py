"""A sketch that tells windows seen once from those seen more often: counters up to two, two bits each.

A counter's place is the high bits of the hash, so that equal parts of the sketch belong to equal ranges of hashes, and
the parts of many sketches can be added up apart from each other. A task that holds one of 2^b ranges of hashes shifts
them left by b, and needs a sketch for its own windows only. Two windows that share a counter count as seen twice:
with n windows among m counters a share 1 - e^(-n/m) of the single ones passes, never one that occurs twice is lost.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.segment import Hashes

COUNTERS_PER_WINDOW = 8  # at least: 2 to 4 bytes a window; at most one in eight of the single windows passes

_COUNTERS = 32  # in a word of 64 bits
_LOW_BITS = np.uint64(0x5555555555555555)
_ONE, _TWO, _LAST = np.uint64(1), np.uint64(2), np.uint64(_COUNTERS - 1)
_WORD_SHIFT = np.uint64(5)
_MIN_BITS = 5

Sketch = NDArray[np.uint64]
"""uint64[2^b / 32]: 2^b counters."""


def empty_sketch(n_windows: int) -> Sketch:
    """A sketch with counters enough for `n_windows`: those of all units, as sketches added up must be of one size."""
    bits = max((n_windows * COUNTERS_PER_WINDOW - 1).bit_length(), _MIN_BITS)
    return np.zeros(2**bits // _COUNTERS, np.uint64)


def merged(a: Sketch, b: Sketch) -> Sketch:
    """Counters added up, to two at most; of two sketches or of the same part of two. Any order gives the same.

    Raises ValueError for sketches of different sizes.
    """
    if a.size != b.size:
        raise ValueError(f"sketches of {a.size} and {b.size} words; make them for the same number of windows")
    return np.asarray(a | b | ((a & b & _LOW_BITS) << _ONE), np.uint64)


def count(sketch: Sketch, hashes: Hashes) -> None:
    """Count windows, in place."""
    _count(sketch, hashes, _shift(sketch))


def repeated(sketch: Sketch, hashes: Hashes) -> NDArray[np.bool_]:
    """For each window whether it may have been counted twice: False only for those counted once or never."""
    return _repeated(sketch, hashes, _shift(sketch))


def next_bits(packed: NDArray[np.uint8], places: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.bool_]:
    """For each i the bit of `packed` (as `numpy.packbits` packs) at places[part[i]], which then moves on by one."""
    return _next_bits(packed, places, part)


def _shift(sketch: Sketch) -> np.uint64:
    return np.uint64(64 - (sketch.size * _COUNTERS).bit_length() + 1)


@compiled
def _count(sketch: Sketch, hashes: Hashes, shift: np.uint64) -> None:
    """A counter goes 0, 1, 3: the low bit says seen, the high bit seen again."""
    for value in hashes:
        place = value >> shift
        word, low = place >> _WORD_SHIFT, (place & _LAST) << _ONE
        seen = sketch[word]
        sketch[word] = seen | (_ONE << low) | (((seen >> low) & _ONE) << (low + _ONE))


@compiled
def _repeated(sketch: Sketch, hashes: Hashes, shift: np.uint64) -> NDArray[np.bool_]:
    found = np.empty(hashes.size, np.bool_)
    for i in range(hashes.size):
        place = hashes[i] >> shift
        found[i] = (sketch[place >> _WORD_SHIFT] >> ((place & _LAST) << _ONE)) & _TWO != 0
    return found


@compiled
def _next_bits(packed: NDArray[np.uint8], places: NDArray[np.int64], part: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.empty(part.size, np.bool_)
    for i in range(part.size):
        place = places[part[i]]
        found[i] = (packed[place >> 3] >> (7 - (place & 7))) & 1
        places[part[i]] = place + 1
    return found
