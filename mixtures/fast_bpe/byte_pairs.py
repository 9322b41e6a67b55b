"""Kernels of byte-level byte-pair encoding: from UTF-8 to pieces, from pieces to token ids.

A text is cut into pieces as Hugging Face's `tokenizers` cuts it (`Punctuation`, the expression of `ByteLevel`,
`Digits`, `Split` into three digits), each piece is encoded by merging pairs, lowest rank first and leftmost among
equals, and short pieces are remembered. What the kernels know of a tokenizer is in `Model`, which
`byte_level` makes.

All kernels are in this one file, because numba does not notice a change in a kernel that it calls from another one.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mixtures.compiled import compiled

LETTER: Final = 1
NUMBER: Final = 2
SPACE: Final = 3
KINDS: Final = 3
"""Bits of a class that hold its kind: 0 (anything else), LETTER, NUMBER or SPACE."""
PUNCTUATION: Final = 4
"""Bit of a class: pieces end where it changes."""
NUMERIC: Final = 1
"""Bit of a byte: pieces end where it changes."""
DIGIT: Final = 2
"""Bit of a byte: three in a row are a piece of their own."""

_WORD_BYTES: Final = 32
"""Longer pieces are not remembered."""
_WORD_IDS: Final = 7
"""Nor are pieces of more ids; a slot of `memory` has 16 numbers: sizes, 8 of bytes, 7 of ids."""
_SCAN_SYMBOLS: Final = 64
"""Up to here the lowest rank is looked for along the piece, beyond it is kept in a heap."""
_NO_RANK: Final = 2**31 - 1
_NO_PAIR: Final = np.uint64(2**64 - 1)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_REMOVED: Final = -1

Bytes = NDArray[np.uint8]
Ids = NDArray[np.uint32]
Ends = NDArray[np.int64]
Ranks = NDArray[np.int64]
Pairs = NDArray[np.uint64]
Whole = Any
"""A whole number, of Python or of numpy: for numba they are the same."""


class Model(NamedTuple):
    """A tokenizer's tables."""

    classes: Bytes
    """[0x110000], by code point: kind and PUNCTUATION."""
    byte_flags: Bytes
    """[256]: NUMERIC and DIGIT, as far as the layout splits there."""
    byte_ids: NDArray[np.int32]
    """[256]: id of each byte's symbol; negative where it has none, and is left out."""
    pairs: Pairs
    """[slots, 2], a power of two of them: left id << 32 | right id, and the rank of their merge; open addressing."""
    merged: NDArray[np.int32]
    """[merges]: id that the merge of each rank makes."""
    symbols: NDArray[np.int32]
    """[vocabulary]: how many symbols an id stands for."""
    unique: bool
    """Whether no two merges make the same id."""


def empty_memory(slots: int) -> Ids:
    """Room for `slots` (a power of two) remembered pieces; later ones take the place of earlier ones."""
    return np.zeros((slots, 16), np.uint32)


@compiled
def point_at(text: Bytes, at: Whole) -> tuple[Whole, Whole]:
    """Code point that starts at byte `at` of valid UTF-8, and its bytes."""
    first = np.int64(text[at])
    if first < 0x80:
        return first, 1
    second = np.int64(text[at + 1]) & 0x3F
    if first < 0xE0:
        return (first & 0x1F) << 6 | second, 2
    third = np.int64(text[at + 2]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | second << 6 | third, 3
    return (first & 0x07) << 18 | second << 12 | third << 6 | np.int64(text[at + 3]) & 0x3F, 4


@compiled
def run_end(text: Bytes, at: Whole, end: Whole, of_class: Whole, classes: Bytes) -> Whole:
    """Where the code points of class `of_class` end that start at `at`."""
    while at < end:
        point, size = point_at(text, at)
        if classes[point] != of_class:
            break
        at += size
    return at


@compiled
def contraction_end(text: Bytes, at: Whole, end: Whole) -> Whole:
    """End of the 's, 't, 're, 've, 'm, 'll or 'd at `at`; `at` where there is none."""
    if at + 1 < end and text[at] == 0x27:
        first = text[at + 1]
        if first == 0x73 or first == 0x74 or first == 0x6D or first == 0x64:  # s t m d
            return at + 2
        if at + 2 < end:
            second = text[at + 2]
            if (first == 0x72 or first == 0x76) and second == 0x65:  # re ve
                return at + 3
            if first == 0x6C and second == 0x6C:  # ll
                return at + 3
    return at


@compiled
def piece_end(text: Bytes, at: Whole, end: Whole, classes: Bytes) -> Whole:
    """End of the piece that starts at `at`, by `Punctuation` and `ByteLevel`.

    `ByteLevel` cuts what `Punctuation` left by the expression

        's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

    so that a run of one class ends where the bit of `PUNCTUATION` changes, as at the end of the text.
    """
    point, size = point_at(text, at)
    of_class = np.int64(classes[point])
    if of_class & KINDS != SPACE:
        if point == 0x27 and of_class & PUNCTUATION == 0:  # where it is punctuation, its letters are out of reach
            after = contraction_end(text, at, end)
            if after > at:
                return after
        return run_end(text, at + size, end, of_class, classes)
    last, after = at, at + size
    while after < end:
        point, size = point_at(text, after)
        if classes[point] != of_class:
            break
        last, after = after, after + size
    if after == end or np.int64(classes[point]) & PUNCTUATION != of_class & PUNCTUATION:
        return after
    if last > at:  # the last one of a row is left to what follows
        return last
    if text[at] == 0x20:
        return run_end(text, after, end, np.int64(classes[point]), classes)
    return after


@compiled
def part_end(text: Bytes, at: Whole, end: Whole, byte_flags: Bytes) -> Whole:
    """End of the part that starts at `at` of a piece that ends at `end`, by `Digits` and three digits.

    These two see the symbols of bytes, not characters, and among those of single bytes are ², ³, ¹, ¼, ½ and ¾.
    """
    numeric = byte_flags[text[at]] & NUMERIC
    digits = 0
    for i in range(at, end):
        flags = byte_flags[text[i]]
        if flags & NUMERIC != numeric:
            return i
        digits = digits + 1 if flags & DIGIT else 0
        if digits == 3:
            return i + 1 if i - 2 == at else i - 2
    return end


@compiled
def cut(text: Bytes, ends: Ends, classes: Bytes, byte_flags: Bytes, marks: Ids) -> None:
    """Write the bytes of texts that end at `ends` to `marks`, more by 256 where they do not begin a part of a piece."""
    at = 0
    for end in ends:
        while at < end:
            after = piece_end(text, at, end, classes)
            while at < after:
                part = part_end(text, at, after, byte_flags)
                marks[at] = text[at]
                for i in range(at + 1, part):
                    marks[i] = np.uint32(text[i]) + np.uint32(256)
                at = part


@compiled
def rank_of(left: Whole, right: Whole, pairs: Pairs) -> Whole:
    """Rank of the merge of two ids, `_NO_RANK` where there is none."""
    key = np.uint64(left) << np.uint64(32) | np.uint64(right)
    mask = np.uint64(len(pairs) - 1)
    slot = (key * _MIX) >> np.uint64(40) & mask
    while pairs[slot, 0] != _NO_PAIR:
        if pairs[slot, 0] == key:
            return np.int64(pairs[slot, 1])
        slot = (slot + np.uint64(1)) & mask
    return _NO_RANK


@compiled
def pair_table(lefts: Ids, rights: Ids) -> Pairs:
    """Merges given in order of rank as a table; a pair given twice has the rank of the later one."""
    slots = 4
    while slots < 2 * lefts.size:
        slots *= 2
    pairs = np.full((slots, 2), _NO_PAIR, np.uint64)
    mask = np.uint64(slots - 1)
    for rank in range(lefts.size):
        key = np.uint64(lefts[rank]) << np.uint64(32) | np.uint64(rights[rank])
        slot = (key * _MIX) >> np.uint64(40) & mask
        while pairs[slot, 0] != _NO_PAIR and pairs[slot, 0] != key:
            slot = (slot + np.uint64(1)) & mask
        pairs[slot, 0], pairs[slot, 1] = key, rank
    return pairs


@compiled
def ranks_of(lefts: Ids, rights: Ids, model: Model) -> NDArray[np.int64]:
    """Rank of each pair of ids, -1 where it is no merge."""
    found = np.empty(lefts.size, np.int64)
    for i in range(lefts.size):
        rank = rank_of(lefts[i], rights[i], model.pairs)
        found[i] = -1 if rank == _NO_RANK else rank
    return found


@compiled
def merge_by_scan(ids: Ids, model: Model, ranks: Ranks) -> Whole:
    """Merge `ids` in place; returns how many are left. `ranks` is room for as many."""
    n = ids.size
    for i in range(n - 1):
        ranks[i] = rank_of(ids[i], ids[i + 1], model.pairs)
    while True:
        best, at = _NO_RANK, -1
        for i in range(n - 1):
            if ranks[i] < best:
                best, at = ranks[i], i
        if at < 0:
            return n
        ids[at] = model.merged[best]
        n -= 1
        for i in range(at + 1, n):
            ids[i] = ids[i + 1]
            ranks[i] = ranks[i + 1]
        if at > 0:
            ranks[at - 1] = rank_of(ids[at - 1], ids[at], model.pairs)
        if at + 1 < n:
            ranks[at] = rank_of(ids[at], ids[at + 1], model.pairs)


@compiled
def sift_down(heap: NDArray[np.int64], at: Whole, n: Whole) -> None:
    """Let the entry at `at` sink to its place among the first `n` of a heap whose least is on top."""
    entry = heap[at]
    while 2 * at + 1 < n:
        child = 2 * at + 1
        if child + 1 < n and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= entry:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = entry


@compiled
def push(heap: NDArray[np.int64], n: Whole, entry: Whole) -> Whole:
    """Add an entry to the first `n` of a heap; returns n + 1."""
    at = n
    while at > 0 and heap[(at - 1) // 2] > entry:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = entry
    return n + 1


@compiled
def merge_by_heap(ids: Ids, model: Model) -> Whole:
    """Merge `ids` in place, in O(n log n); returns how many are left.

    As the library does it, entries of the heap stay there when their pair changes, and count when they come up if the
    pair that is there by then makes the same id. A symbol's id stands at its first place, the negative of its length
    at its last one, so that both neighbours are found without links.
    """
    n = ids.size
    live = ids.astype(np.int32)
    heap = np.empty(2 * n, np.int64)  # every merge takes one entry and adds two at most
    size = 0
    for i in range(n - 1):
        rank = rank_of(live[i], live[i + 1], model.pairs)
        if rank != _NO_RANK:
            heap[size] = rank << 32 | i
            size += 1
    for i in range(size // 2 - 1, -1, -1):
        sift_down(heap, i, size)
    while size > 0:
        top = heap[0]
        size -= 1
        heap[0] = heap[size]
        sift_down(heap, 0, size)
        at = top & 0xFFFFFFFF
        left = live[at]
        if left < 0:
            continue
        middle = at + model.symbols[left]
        if middle >= n:
            continue
        rank = rank_of(left, live[middle], model.pairs)
        made = model.merged[top >> 32]
        if rank == _NO_RANK or model.merged[rank] != made:
            continue
        after = middle + model.symbols[live[middle]]
        live[middle] = _REMOVED
        live[after - 1] = at - after
        live[at] = made
        if at > 0:
            before = at - 1 if live[at - 1] >= 0 else at + live[at - 1]
            rank = rank_of(live[before], made, model.pairs)
            if rank != _NO_RANK:
                size = push(heap, size, rank << 32 | before)
        if after < n:
            rank = rank_of(made, live[after], model.pairs)
            if rank != _NO_RANK:
                size = push(heap, size, rank << 32 | at)
    left_over, at = 0, 0
    while at < n:
        ids[left_over] = live[at]
        at += model.symbols[live[at]]
        left_over += 1
    return left_over


@compiled
def encode_piece(text: Bytes, at: Whole, end: Whole, model: Model, ids: Ids, first: Whole, ranks: Ranks) -> Whole:
    """Write the ids of the piece text[at:end] from ids[first] on, room for one a byte; returns where they end."""
    while at < end:
        after = part_end(text, at, end, model.byte_flags)
        n = 0
        for i in range(at, after):
            symbol = model.byte_ids[text[i]]
            if symbol >= 0:
                ids[first + n] = symbol
                n += 1
        if n > 1 and n <= _SCAN_SYMBOLS and model.unique:
            n = merge_by_scan(ids[first : first + n], model, ranks)
        elif n > 1:
            n = merge_by_heap(ids[first : first + n], model)
        first += n
        at = after
    return first


@compiled
def word_of(text: Bytes, at: Whole, end: Whole, word: Ids) -> Whole:
    """Pack text[at:end] into `word`, four bytes a number; returns its hash."""
    size = end - at
    mixed = np.uint64(size)
    for i in range((size + 3) // 4):
        packed = np.uint32(0)
        for k in range(at + 4 * i, min(at + 4 * i + 4, end)):
            packed = packed << np.uint32(8) | np.uint32(text[k])
        word[i] = packed
        mixed = (mixed ^ np.uint64(packed)) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return mixed


@compiled
def remembered(memory: Ids, slot: Whole, word: Ids, size: Whole) -> Whole:
    """How many ids a slot of the memory has for the `size` bytes of `word`; negative where it holds another piece."""
    if memory[slot, 0] & np.uint32(0xFF) != size:
        return -1
    for i in range((size + 3) // 4):
        if memory[slot, 1 + i] != word[i]:
            return -1
    return np.int64(memory[slot, 0]) >> 8


@compiled
def remember(memory: Ids, slot: Whole, word: Ids, size: Whole, ids: Ids, first: Whole, end: Whole) -> None:
    """Put a piece and its ids[first:end] into a slot of the memory, unless they are too many."""
    if end - first > _WORD_IDS:
        return
    memory[slot, 0] = size | (end - first) << 8
    for i in range((size + 3) // 4):
        memory[slot, 1 + i] = word[i]
    for i in range(end - first):
        memory[slot, 9 + i] = ids[first + i]


@compiled
def encode(text: Bytes, ends: Ends, model: Model, memory: Ids, ids: Ids, id_ends: Ends) -> None:
    """Write the ids of texts that lie one after another in `text` and end at `ends`; `id_ends` says where theirs end.

    `text` must be valid UTF-8, `ids` have room for one a byte. `memory` holds pieces from call to call.
    """
    ranks = np.empty(_SCAN_SYMBOLS, np.int64)
    word = np.zeros(_WORD_BYTES // 4, np.uint32)
    mask = np.uint64(len(memory) - 1)
    at, n = 0, 0
    for number in range(ends.size):
        end = ends[number]
        while at < end:
            after = piece_end(text, at, end, model.classes)
            size = after - at
            if size > _WORD_BYTES:
                n = encode_piece(text, at, after, model, ids, n, ranks)
            else:
                slot = np.int64(word_of(text, at, after, word) & mask)
                known = remembered(memory, slot, word, size)
                if known < 0:
                    first, n = n, encode_piece(text, at, after, model, ids, n, ranks)
                    remember(memory, slot, word, size, ids, first, n)
                else:
                    for i in range(known):
                        ids[n + i] = memory[slot, 9 + i]
                    n += known
            at = after
        id_ends[number] = n
