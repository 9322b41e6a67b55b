"""Near-duplicate search by MinHash: signatures, band keys, and exact shingle sets to verify candidates with.

A document is the set of its shingles, runs of `shingle` shingle words (`stages.segment`, lower case), each a 64-bit
hash; a shorter document is the one shingle of all its words; a document without words has no shingles, and is nobody's
near-duplicate. A signature holds, for each of bands × rows hash functions, the smallest value over the shingles; two
documents agree in one place with the probability of their Jaccard similarity. Documents that agree in all rows of at
least one band are candidates.

The hash functions are one multiply-add family: h_k(x) = a_k·x + b_k mod 2³² over the low 32 bits of the shingle hash,
a_k odd, (a_k, b_k) from splitmix64 of the geometry's seed. Shingle hashes are scrambled already, so any one-to-one
h_k orders a document's shingles at random. Only shingles that share their low 32 bits are confused: for two documents
of 1,000 shingles that adds 10⁻⁷ to a similarity.

Source: Broder 1997; Lee et al. 2022, arXiv 2107.06499; RefinedWeb, arXiv 2306.01116, appendix G.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.segment import (
    CharTables,
    Hashes,
    Offsets,
    Utf8,
    char_tables,
    decode,
    hash_end,
    hash_seed,
    hash_step,
    mix64,
    shingle_words,
    utf8_of,
)

NO_KEY = 0
"""Band key of a document without words; never the key of a document with words."""

_SHINGLE_BASE = np.uint64(0xD6E8FEB86659FD93)
_SPLITMIX_STEP = np.uint64(0x9E3779B97F4A7C15)
_ONE = np.uint64(1)
_MAX_32 = np.uint32(0xFFFFFFFF)

Signatures = NDArray[np.uint32]


class GeometryError(ValueError):
    """A geometry that makes no sense; the message names the field and the least value."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Shape of the search: `bands` × `rows` hash functions over shingles of `shingle` words, drawn from `seed`."""

    bands: int
    rows: int
    shingle: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "shingle"):
            if getattr(self, name) < 1:
                raise GeometryError(f"minhash geometry: {name} is {getattr(self, name)}; give at least 1")
        if not 0 <= self.seed < 2**64:
            raise GeometryError(f"minhash geometry: seed is {self.seed}; give 0 to 2^64 - 1")


PRESETS: Mapping[str, Geometry] = MappingProxyType(
    {
        "refinedweb": Geometry(bands=50, rows=10),
        "refinedweb-paper": Geometry(bands=450, rows=20),
        "fineweb": Geometry(bands=14, rows=8),
    }
)
"""`refinedweb` is verified afterwards (P = .9966 at J = .8); `refinedweb-paper` is the paper's own (.9946); `fineweb`
is that of arXiv 2406.17557."""


class _Functions(NamedTuple):
    """The hash functions h_k(x) = a[k]·x + b[k], uint32[bands · rows] each, a odd."""

    a: Signatures
    b: Signatures


class ShingleSets(NamedTuple):
    """Sets as sorted distinct 64-bit hashes: document i has values[offsets[i]:offsets[i + 1]]."""

    values: Hashes
    offsets: Offsets


def collision_probability(similarity: float, geometry: Geometry) -> float:
    """Chance that two documents of this Jaccard similarity become candidates: 1 - (1 - J^rows)^bands."""
    return float(1.0 - (1.0 - similarity**geometry.rows) ** geometry.bands)


def signatures(text: pa.Array[Any], geometry: Geometry) -> Signatures:
    """MinHash signatures, uint32[n_texts, bands · rows]; a text without words has 2³² - 1 everywhere."""
    return _signatures(utf8_of(text), char_tables(), _functions(geometry), geometry.shingle)


def band_keys(text: pa.Array[Any], geometry: Geometry) -> Hashes:
    """Band keys, uint64[n_texts, bands]: equal where a band's rows are equal; `NO_KEY` for a text without words."""
    utf8 = utf8_of(text)
    return _band_keys(utf8, char_tables(), _functions(geometry), geometry.shingle, geometry.rows)


def shingle_sets(text: pa.Array[Any], geometry: Geometry) -> ShingleSets:
    """The exact shingle set of each text, empty for a text without words."""
    return ShingleSets(*_shingle_sets(utf8_of(text), char_tables(), geometry.shingle))


@compiled
def jaccard(a: Hashes, b: Hashes) -> float:
    """Jaccard similarity of two sorted sets, |a ∩ b| / |a ∪ b|; 0 where both are empty."""
    i, j, both = 0, 0, 0
    while i < a.size and j < b.size:
        both += a[i] == b[j]
        step_a, step_b = a[i] <= b[j], a[i] >= b[j]
        i += step_a
        j += step_b
    union = a.size + b.size - both
    return both / union if union else 0.0


@cache
def _functions(geometry: Geometry) -> _Functions:
    n = geometry.bands * geometry.rows
    with np.errstate(over="ignore"):
        state = np.uint64(geometry.seed) + _SPLITMIX_STEP * np.arange(1, n + 1, dtype=np.uint64)
    bits = np.array([mix64(x) for x in state], np.uint64)
    return _Functions((bits >> np.uint64(32)).astype(np.uint32) | np.uint32(1), bits.astype(np.uint32))


@compiled
def _shingles(data: Utf8, i: int, tables: CharTables, width: int) -> Hashes:
    """Shingle hashes of text `i` in reading order, repeats included."""
    start, end = data.offsets[i], data.offsets[i + 1]
    code_points = np.empty(end - start, np.uint32)
    n_chars = decode(data.data, start, end, code_points)
    words = np.empty(n_chars // 2 + 1, np.uint64)
    n_words = shingle_words(code_points[:n_chars], tables, words)
    return _widened(words[:n_words], min(width, n_words))


@compiled
def _widened(words: Hashes, width: int) -> Hashes:
    """Hashes of all runs of `width` words; word by word over all runs, so that no run's arithmetic waits for itself."""
    n_shingles = words.size - width + 1 if words.size else 0
    shingles = words[:n_shingles].copy()
    for j in range(1, width):
        following = words[j:]
        for k in range(n_shingles):
            shingles[k] = shingles[k] * _SHINGLE_BASE + following[k]
    for k in range(n_shingles):
        shingles[k] = mix64(shingles[k])
    return shingles


@compiled
def _minima(shingles: Hashes, functions: _Functions, out: Signatures) -> None:
    """Smallest value of every hash function over the shingles.

    The inner loop runs over the shingles: its minimum stays in registers, and the processor takes eight at a time.
    """
    x = shingles.astype(np.uint32)
    for k in range(out.size):
        a, b, least = functions.a[k], functions.b[k], _MAX_32
        for shingle in x:
            least = min(least, np.uint32(a * shingle + b))
        out[k] = least


@compiled
def _signatures(text: Utf8, tables: CharTables, functions: _Functions, width: int) -> Signatures:
    n_texts = text.offsets.size - 1
    out = np.empty((n_texts, functions.a.size), np.uint32)
    for i in range(n_texts):
        _minima(_shingles(text, i, tables, width), functions, out[i])
    return out


@compiled
def _band_keys(text: Utf8, tables: CharTables, functions: _Functions, width: int, rows: int) -> Hashes:
    n_texts, bands = text.offsets.size - 1, functions.a.size // rows
    out = np.zeros((n_texts, bands), np.uint64)
    signature = np.empty(functions.a.size, np.uint32)
    for i in range(n_texts):
        shingles = _shingles(text, i, tables, width)
        if shingles.size == 0:
            continue
        _minima(shingles, functions, signature)
        for band in range(bands):
            state = hash_seed()
            for value in signature[band * rows : (band + 1) * rows]:
                state = hash_step(state, value)
            out[i, band] = hash_end(state)
    return out


@compiled
def _shingle_sets(text: Utf8, tables: CharTables, width: int) -> tuple[Hashes, Offsets]:
    n_texts = text.offsets.size - 1
    values = np.empty((text.offsets[n_texts] - text.offsets[0]) // 2 + n_texts + 1, np.uint64)
    offsets = np.zeros(n_texts + 1, np.int64)
    for i in range(n_texts):
        shingles = np.sort(_shingles(text, i, tables, width))
        n = offsets[i]
        for k in range(shingles.size):
            if k == 0 or shingles[k] != shingles[k - 1]:
                values[n] = shingles[k]
                n += 1
        offsets[i + 1] = n
    return values[: offsets[n_texts]].copy(), offsets
