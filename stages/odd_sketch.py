"""Odd sketches: Jaccard similarity of two shingle sets estimated from 512 bytes each, where the sets are not at hand.

A sketch has `N_BITS` bits; each shingle of the set flips the bit that its hash chooses. The bits that differ between
two sketches are those flipped by an odd number of shingles of A △ B; from their number k the size of A △ B is
estimated, d = ln(1 - 2k/n) / ln(1 - 2/n), and from it and the stored sizes J = (|A| + |B| - d) / (|A| + |B| + d). For
two sets sketched whole, d is rounded to the nearest number that has the parity of |A| + |B|, as |A △ B| has: for small
sets the estimate is then nearly always the similarity itself.

The more bits are flipped the less they tell. A set of more than `MAX_SAMPLE` shingles is sampled: at level s only
shingles whose hash lies in the lowest 2^-s of all count, and s is the least that leaves at most `MAX_SAMPLE` of them on
average. It depends on the size alone, so that two documents drop the same shingles. Documents of similar sizes may be
of neighbouring levels; one whose sample fills more than half of `MAX_SAMPLE` has therefore a second sketch, at the
level above. Two documents are compared at the higher of their levels. Where one of them has no sketch there, it is less
than half as large as the other, so their similarity is below `LEAST_SIMILARITY`, and the estimate is 0.

Hashes are scrambled anew, so that a sketch errs independently of the band keys that proposed the pair. Only the
distinct shingles of a document may be sketched: a shingle that comes twice flips its bit back.

Source: Mitzenmacher, Pagh, Pham, "Efficient estimation for high similarities using odd sketches", WWW 2014. There the
items of a MinHash signature are sketched, and the number of them limits the precision; here the shingles themselves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from stages.compiled import compiled
from stages.minhash import ShingleSets
from stages.segment import Bytes, Offsets, mix64

N_BITS = 4096
"""Bits of one sketch; a power of two."""

SKETCH_BYTES = N_BITS // 8

MAX_SAMPLE = 8192
"""Shingles that one sketch holds at most on average: twice its bits. With 16,384, .3 % of the pairs of large
documents at J = .7 would pass for .75, against less than 10⁻⁶ here."""

LEAST_SIMILARITY = 0.5
"""Similarities below this may be estimated as 0, where the sizes alone tell that they are below it."""

SIMILARITIES = (0.6, 0.65, 0.7, 0.72, 0.74, 0.75, 0.76, 0.78, 0.8, 0.85, 0.9)

_SALT = np.uint64(0xA0761D6478BD642F)
_LAST_BIT = np.uint64(N_BITS - 1)
_LOG_STEP = math.log1p(-2 / N_BITS)
_M1, _M2, _M4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_SUM_BYTES = np.uint64(0x0101010101010101)
_S1, _S2, _S4, _S56 = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_MAX_COLUMN_BYTES = 2**31 - 1

Sizes = NDArray[np.int64]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


class Sketches(NamedTuple):
    """Sketches of n documents: document i has data[offsets[i]:offsets[i + 1]], one or two sketches, and sizes[i]
    distinct shingles. The first sketch is of the document's own level, the second of the next."""

    data: Bytes
    offsets: Offsets
    sizes: Sizes


def sketches(sets: ShingleSets) -> Sketches:
    """Sketch every set; an empty one has a sketch without bits."""
    sizes = np.diff(sets.offsets)
    offsets = _offsets(sizes)
    data = np.zeros(offsets[-1], np.uint8)
    _fill(sets, offsets, data)
    return Sketches(data, offsets, sizes)


def similarities(a: Sketches, rows_a: Rows, b: Sketches, rows_b: Rows) -> Floats:
    """Estimated similarity of document rows_a[i] of `a` and rows_b[i] of `b`, for each i."""
    return _similarities(a, rows_a, b, rows_b)


def to_column(sketches: Sketches) -> pa.Array[Any]:
    """The sketches as an Arrow binary column, without a copy of the data; sizes are a column of their own.

    Raises ValueError above 2 GiB, some four million documents, which a binary column cannot hold.
    """
    if sketches.offsets[-1] > _MAX_COLUMN_BYTES:
        raise ValueError(f"{sketches.offsets.size - 1:,} sketches do not fit into one binary column; split them")
    buffers = [None, pa.py_buffer(sketches.offsets.astype(np.int32)), pa.py_buffer(sketches.data)]
    return pa.Array.from_buffers(pa.binary(), sketches.sizes.size, buffers)


def from_column(column: pa.Array[Any], sizes: Sizes) -> Sketches:
    """The sketches of a binary column, of documents with these numbers of distinct shingles.

    Raises ValueError where a value is missing, or has not the length that belongs to the document's size.
    """
    if column.null_count:
        raise ValueError("the column of sketches has missing values")
    sizes = np.asarray(sizes, np.int64)
    expected = _offsets(sizes)
    column = column.cast(pa.large_binary())
    _, offsets, data = column.buffers()
    if offsets is None or len(column) == 0:
        return Sketches(np.empty(0, np.uint8), np.zeros(1, np.int64), sizes)
    bounds = np.frombuffer(memoryview(offsets), np.int64)[column.offset : column.offset + len(column) + 1]
    if len(column) != sizes.size or (np.diff(bounds) != np.diff(expected)).any():
        raise ValueError("the column of sketches does not belong to documents of these sizes")
    return Sketches(np.frombuffer(memoryview(data or b""), np.uint8)[bounds[0] : bounds[-1]], expected, sizes)


def error_curve(n_shingles: int, threshold: float, similarities: Sequence[float] = SIMILARITIES) -> Floats:
    """Probability that two documents of `n_shingles` each and of these true similarities pass `threshold`."""
    return acceptance(n_shingles, n_shingles, np.asarray(similarities), threshold)


def acceptance(size_a: ArrayLike, size_b: ArrayLike, similarity: ArrayLike, threshold: float) -> Floats:
    """Probability that the estimate of a pair of sets of these sizes and this true similarity is >= `threshold`.

    Where sets of these sizes cannot have the similarity, that of the next possible above it. With q = 2^-level and
    D = |A △ B|, the balance B = n - 2k of equal over unequal bits has E[B] = n (1 - 2q/n)^D and
    E[B²] = n + n (n - 1) (1 - 4q/n)^D, both exact; it is taken as normal. A pair passes where B is at least that of the
    largest difference that passes (for sets sketched whole: rounded to it). At differences below some hundreds B has
    few values, and the true probability may lie .2 beside this one.
    """
    total, least = np.add(size_a, size_b), np.abs(np.subtract(size_a, size_b))
    larger, unlike = np.maximum(size_a, size_b), 1 - np.asarray(similarity)
    level = _levels(larger.ravel()).reshape(larger.shape)
    q = 0.5**level
    difference = np.maximum(_of_parity(total * unlike / (2 - unlike), total), least)
    passing = total * (1 - threshold) / (1 + threshold)
    boundary = np.where(level == 0, _of_parity(passing, total) + 1, passing * q)
    mean = N_BITS * np.exp(difference * np.log1p(-2 * q / N_BITS))
    square = N_BITS + N_BITS * (N_BITS - 1) * np.exp(difference * np.log1p(-4 * q / N_BITS))
    deviation = np.sqrt(np.maximum(square - mean**2, 1e-9))  # no difference, no deviation
    z = (mean - N_BITS * np.exp(boundary * _LOG_STEP)) / deviation
    probability = 1 - 0.5 * np.vectorize(math.erfc, otypes=[float])(z / math.sqrt(2))
    accepted: Floats = np.where((total > 0) & (least <= passing), probability, 0.0)
    return accepted


@compiled
def estimate(a: Bytes, size_a: int, b: Bytes, size_b: int) -> float:
    """Estimated Jaccard similarity of two documents, from 0 to 1, by their sketches and numbers of distinct shingles.

    1 for equal sets; 0 where either is empty.
    """
    if size_a == 0 or size_b == 0:
        return 0.0
    level_a, level_b = _level(size_a), _level(size_b)
    level = max(level_a, level_b)
    start_a, start_b = (level - level_a) * SKETCH_BYTES, (level - level_b) * SKETCH_BYTES
    if start_a >= a.size or start_b >= b.size:
        return 0.0
    n_odd = _differing_bits(a[start_a : start_a + SKETCH_BYTES], b[start_b : start_b + SKETCH_BYTES])
    total = size_a + size_b
    if 2 * n_odd >= N_BITS:
        return 0.0
    difference = math.log(1 - 2 * n_odd / N_BITS) / _LOG_STEP
    if level == 0:
        parity = total & 1
        difference = 2.0 * math.floor((difference - parity) / 2 + 0.5) + parity
    else:
        difference *= 2.0**level
    difference = max(difference, abs(size_a - size_b))
    return max(total - difference, 0.0) / (total + difference)


def _of_parity(bound: Floats, total: Sizes) -> Floats:
    """The largest number up to `bound` that is odd where `total` is, as the difference of two sets is."""
    parity = total & 1
    largest: Floats = 2 * np.floor((bound - parity) / 2 + 1e-9) + parity
    return largest


@compiled
def _level(size: int) -> int:
    level = 0
    while size > (MAX_SAMPLE << level):
        level += 1
    return level


@compiled
def _levels(sizes: Sizes) -> Sizes:
    out = np.empty(sizes.size, np.int64)
    for i in range(sizes.size):
        out[i] = _level(sizes[i])
    return out


@compiled
def _offsets(sizes: Sizes) -> Offsets:
    """Where the sketches of documents of these sizes begin, and where the last ends."""
    offsets = np.zeros(sizes.size + 1, np.int64)
    for i in range(sizes.size):
        n_sketches = 2 if 2 * sizes[i] > (MAX_SAMPLE << _level(sizes[i])) else 1
        offsets[i + 1] = offsets[i] + n_sketches * SKETCH_BYTES
    return offsets


@compiled
def _fill(sets: ShingleSets, offsets: Offsets, data: Bytes) -> None:
    for i in range(sets.offsets.size - 1):
        shingles = sets.values[sets.offsets[i] : sets.offsets[i + 1]]
        level = _level(shingles.size)
        for start in range(offsets[i], offsets[i + 1], SKETCH_BYTES):
            sketch = data[start : start + SKETCH_BYTES]
            limit = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(level)
            for shingle in shingles:
                x = mix64(shingle ^ _SALT)
                if x <= limit:
                    bit = np.int64(x & _LAST_BIT)
                    sketch[bit >> 3] ^= np.uint8(1 << (bit & 7))
            level += 1


@compiled
def _differing_bits(a: Bytes, b: Bytes) -> np.int64:
    words_a, words_b = a.view(np.uint64), b.view(np.uint64)
    n = np.uint64(0)
    for i in range(words_a.size):
        x = words_a[i] ^ words_b[i]
        x = x - ((x >> _S1) & _M1)
        x = (x & _M2) + ((x >> _S2) & _M2)
        x = (x + (x >> _S4)) & _M4
        n += (x * _SUM_BYTES) >> _S56
    return np.int64(n)


@compiled
def _similarities(a: Sketches, rows_a: Rows, b: Sketches, rows_b: Rows) -> Floats:
    out = np.empty(rows_a.size)
    for i in range(rows_a.size):
        j, k = rows_a[i], rows_b[i]
        sketch_a = a.data[a.offsets[j] : a.offsets[j + 1]]
        sketch_b = b.data[b.offsets[k] : b.offsets[k + 1]]
        out[i] = estimate(sketch_a, a.sizes[j], sketch_b, b.sizes[k])
    return out
