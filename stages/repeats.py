"""Which windows of k words stand earlier too, and where first: by hash, then proven on the texts.

Documents are known by their rank in the order of `stages.dedup_order`; a window comes before another by (rank,
position). The work falls into steps that each need a part of the corpus only:

1. per unit: `candidates`, the windows that the sketch does not know to be single;
2. per range of hashes (`hash_partition`): `first_occurrences`, of equal hashes the earliest window;
3. per range of ranks: `ties`, a comparison of the words with those at the place named, which needs the texts of these
   documents and of those that they name;
4. for the hashes in which a comparison failed, as a rule none: `settle`, the same as step 2 by the words themselves.

The outcome is exact, whatever the hashes: a window of which step 2 names the first is compared with it, and where one
window of a hash differs all windows of that hash are decided anew.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.schema import REPEAT, WINDOW
from stages.segment import SPACE, Bytes, Hashes, char_tables, decode
from stages.window_sketch import Sketch, repeated
from stages.windows import Split, WindowHashes, Words, words_of

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

_S32 = np.uint64(32)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Documents(NamedTuple):
    """Documents with their words; `ranks` int64 ascend, document i has the words of text i."""

    ids: pa.Array
    ranks: Rows
    words: Words


def documents_of(ids: pa.Array[Any], text: pa.Array[Any], ranks: Rows, split: Split = words_of) -> Documents:
    """Put documents into their order, and split them into words."""
    order = np.argsort(ranks)
    return Documents(ids.take(pa.array(order)), ranks[order], split(text.take(pa.array(order))))


def candidates(windows: WindowHashes, ranks: Rows, sketch: Sketch) -> pa.Table:
    """Windows that may occur twice, in the schema `WINDOW`; `ranks` int64[n_texts]."""
    found = np.flatnonzero(repeated(sketch, windows.hashes))
    text = np.searchsorted(windows.offsets, found, side="right") - 1
    columns = [windows.hashes[found], ranks[text], found - windows.offsets[text]]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=WINDOW)


def hash_partition(windows: pa.Table, n_partitions: int) -> list[pa.Table]:
    """Distribute windows by ranges of their hashes: all that are equal come into one of `n_partitions` < 2³²."""
    if n_partitions == 1:
        return [windows]
    hashes = windows["hash"].to_numpy()
    number = ((hashes >> _S32) * np.uint64(n_partitions)) >> _S32
    ordered = windows.take(pa.array(np.argsort(number, kind="stable")))
    ends = np.cumsum(np.bincount(number.astype(np.int64), minlength=n_partitions)).tolist()
    return [ordered.slice(start, end - start) for start, end in pairwise([0, *ends])]


def first_occurrences(windows: pa.Table) -> pa.Table:
    """Of windows with one hash the earliest is their first; the others, in the order of rows: `REPEAT`."""
    return _repeats(windows, *_first_by_hash(*_columns(windows)))


def in_order(repeats: pa.Table) -> pa.Table:
    """Sort repeats by (rank, position)."""
    return repeats.take(pa.array(np.lexsort((repeats["position"].to_numpy(), repeats["rank"].to_numpy()))))


def ties(repeats: pa.Table, documents: Documents, k: int) -> Hashes:
    """Hashes of the repeats that differ from the window named as their first, each once.

    `repeats` are in order, else the work is up to k times as much. Raises ValueError where a document is missing.
    """
    own, first = _places(repeats, documents)
    same = _compared(own, first, k, documents.words, char_tables().classes)
    return np.unique(repeats["hash"].to_numpy()[~same])


def settle(windows: pa.Table, documents: Documents, k: int) -> pa.Table:
    """Like `first_occurrences`, with windows of one hash told apart by their words; `windows` are all of their hash."""
    hashes, ranks, positions = _columns(windows)
    order = np.lexsort((positions, ranks, hashes))
    words = documents.words
    own = words.offsets[_document(ranks, documents)] + positions
    return _repeats(windows, *_first_by_words(order, hashes, own, k, words, char_tables().classes))


def without(table: pa.Table, hashes: Hashes) -> pa.Table:
    """Leave out the windows or repeats of some hashes."""
    return table.filter(pc.invert(pc.is_in(table["hash"], pa.array(hashes))))


def only(table: pa.Table, hashes: Hashes) -> pa.Table:
    """The windows or repeats of some hashes."""
    return table.filter(pc.is_in(table["hash"], pa.array(hashes)))


def word_places(repeats: pa.Table, documents: Documents) -> tuple[Rows, Rows, Rows, Rows]:
    """Of each repeat: its document and first word, then those of its first; documents as rows of `documents`."""
    own, first = (_document(repeats[name].to_numpy(), documents) for name in ("rank", "first_rank"))
    return own, repeats["position"].to_numpy(), first, repeats["first_position"].to_numpy()


def _columns(windows: pa.Table) -> tuple[Hashes, Rows, Rows]:
    hashes, ranks, positions = (windows[name].to_numpy() for name in WINDOW.names)
    return hashes, ranks, positions


def _repeats(windows: pa.Table, rows: Rows, firsts: Rows) -> pa.Table:
    firsts_of = windows.select(["rank", "position"]).take(pa.array(firsts))
    return pa.Table.from_arrays([*windows.take(pa.array(rows)).columns, *firsts_of.columns], schema=REPEAT)


def _places(repeats: pa.Table, documents: Documents) -> tuple[Rows, Rows]:
    """Each repeat's first word and that of its first window, as places in `documents.words`."""
    own, position, first, first_position = word_places(repeats, documents)
    offsets = documents.words.offsets
    return offsets[own] + position, offsets[first] + first_position


def _document(ranks: Rows, documents: Documents) -> Rows:
    rows = np.searchsorted(documents.ranks, ranks)
    known = rows < len(documents.ranks)
    known[known] = documents.ranks[rows[known]] == ranks[known]
    if not known.all():
        raise ValueError(f"no text given for the document of rank {ranks[~known][0]}")
    return rows


@compiled
def _first_by_hash(hashes: Hashes, ranks: Rows, positions: Rows) -> tuple[Rows, Rows]:
    """(rows that are not the first of their hash, ascending; the first of each), by a table of hashes."""
    bits = 4
    while 1 << bits < 2 * hashes.size:
        bits += 1
    table = np.full(1 << bits, -1, np.int64)  # the first row of a hash so far
    place = np.empty(hashes.size, np.int64)
    n = hashes.size
    for row in range(hashes.size):
        at = np.int64((hashes[row] * _GOLDEN) >> np.uint64(64 - bits))
        while table[at] >= 0 and hashes[table[at]] != hashes[row]:
            at = (at + 1) & (table.size - 1)
        place[row] = at
        first = table[at]
        if first < 0:
            n -= 1
        if first < 0 or (ranks[row], positions[row]) < (ranks[first], positions[first]):
            table[at] = row
    rows, firsts = np.empty(n, np.int64), np.empty(n, np.int64)
    n = 0
    for row in range(hashes.size):
        first = table[place[row]]
        if row != first:
            rows[n], firsts[n] = row, first
            n += 1
    return rows, firsts


@compiled
def _first_by_words(order: Rows, hashes: Hashes, own: Rows, k: int, words: Words, classes: Bytes) -> tuple[Rows, Rows]:
    """The same by words; `order` sorts by hash, then rank and position."""
    rows, firsts = np.empty(order.size, np.int64), np.empty(order.size, np.int64)
    distinct = np.empty(order.size, np.int64)  # the first of every kind of window that has the hash at hand
    n, n_distinct = 0, 0
    for i in range(order.size):
        row = order[i]
        if i and hashes[row] != hashes[order[i - 1]]:
            n_distinct = 0
        j = 0
        while j < n_distinct and not _same(own[row], own[distinct[j]], 0, k, words, classes):
            j += 1
        if j < n_distinct:
            rows[n], firsts[n] = row, distinct[j]
            n += 1
        else:
            distinct[n_distinct] = row
            n_distinct += 1
    return rows[:n].copy(), firsts[:n].copy()


@compiled
def _compared(own: Rows, first: Rows, k: int, words: Words, classes: Bytes) -> Mask:
    """Whether the windows at words own[i] and first[i] are equal; of two that both moved on by a word, only the last
    word is new."""
    same = np.empty(own.size, np.bool_)
    for i in range(own.size):
        moved_on = i > 0 and same[i - 1] and own[i] == own[i - 1] + 1 and first[i] == first[i - 1] + 1
        same[i] = _same(own[i], first[i], k - 1 if moved_on else 0, k, words, classes)
    return same


@compiled
def _same(a: int, b: int, start: int, end: int, words: Words, classes: Bytes) -> bool:
    """Whether words [start, end) of the windows at a and b are equal, with the marks before each but word 0."""
    data = words.text.data
    for j in range(start, end):
        x, y = a + j, b + j
        if not _same_bytes(data, words.starts[x], words.ends[x], words.starts[y], words.ends[y]):
            return False
        if j > 0:
            gap_x, gap_y = (words.ends[x - 1], words.starts[x]), (words.ends[y - 1], words.starts[y])
            if not _same_bytes(data, *gap_x, *gap_y) and not _same_marks(data, gap_x, gap_y, classes):
                return False
    return True


@compiled
def _same_bytes(data: Bytes, start_a: int, end_a: int, start_b: int, end_b: int) -> bool:
    if end_a - start_a != end_b - start_b:
        return False
    for i in range(end_a - start_a):  # noqa: SIM110 - numba compiles loops, not generator expressions
        if data[start_a + i] != data[start_b + i]:
            return False
    return True


@compiled
def _same_marks(data: Bytes, a: tuple[int, int], b: tuple[int, int], classes: Bytes) -> bool:
    """Whether two stretches between words are equal but for white space."""
    marks_a, marks_b = np.empty(max(a[1] - a[0], 0), np.uint32), np.empty(max(b[1] - b[0], 0), np.uint32)
    n_a, n_b = decode(data, a[0], a[1], marks_a), decode(data, b[0], b[1], marks_b)
    i, j = 0, 0
    while True:
        while i < n_a and classes[marks_a[i]] & SPACE:
            i += 1
        while j < n_b and classes[marks_b[j]] & SPACE:
            j += 1
        if i == n_a or j == n_b:
            return i == n_a and j == n_b
        if marks_a[i] != marks_b[j]:
            return False
        i, j = i + 1, j + 1
