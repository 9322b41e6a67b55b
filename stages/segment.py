"""Words of a text, straight from the UTF-8 bytes of an Arrow column.

Two notions of a word are used, and no third:

- *words*: runs of characters that are not white space (`str.split`). Quality and repetition rules count these.
- *shingle words*: runs of `\\w` characters as Python's `re` defines them (`str.isalnum` or `_`; combining marks
  separate). Near-duplicate search compares these in lower case; exact substrings as written, with the marks between
  them (`stages.windows`).

Lower-casing maps one code point to one code point. It differs from `str.lower` in two places only: `İ` (U+0130)
becomes a plain `i` without the combining dot, and a capital sigma at the end of a word becomes `σ`, not `ς`.

The kernels work on one document at a time, decoded once into code points; a word is a 64-bit hash of its code points.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.compiled import compiled

SPACE, WORD, LETTER, BULLET, SENTENCE_MARK = 1, 2, 4, 8, 16
"""Bits of `char_classes`: `str.isspace`; `\\w`; `str.isalpha`; one of `BULLETS`; one of `sentence_marks`."""

BULLETS = "•‣▪▫◦●○∙·⁃-*"

N_CODE_POINTS = 0x110000
_CASED_END = 0x20000  # no code point from here on has a lower-case form (a test holds this)
_REPLACEMENT = 0xFFFD

_HASH_SEED = np.uint64(0xCBF29CE484222325)
_HASH_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE = np.uint64(1)

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
CodePoints = NDArray[np.uint32]
Offsets = NDArray[np.int64]


class Utf8(NamedTuple):
    """Texts as one run of bytes: text `i` is `data[offsets[i]:offsets[i + 1]]`; `offsets` has one entry more."""

    data: Bytes
    offsets: Offsets


class CharTables(NamedTuple):
    """Per code point: the class bits, uint8[0x110000], and the lower-case form, uint32[0x110000]."""

    classes: Bytes
    lower: CodePoints


@cache
def char_tables(fold_case: bool = True) -> CharTables:
    """Tables for the kernels, from this Python's Unicode data; `fold_case=False` leaves letters as written."""
    chars = "".join(map(chr, range(N_CODE_POINTS)))
    classes = np.frombuffer(bytes(map(str.isspace, chars)), np.uint8) * np.uint8(SPACE)
    classes |= np.frombuffer(bytes(map(str.isalnum, chars)), np.uint8) * np.uint8(WORD)
    classes |= np.frombuffer(bytes(map(str.isalpha, chars)), np.uint8) * np.uint8(LETTER)
    classes[ord("_")] |= WORD
    classes[[ord(bullet) for bullet in BULLETS]] |= BULLET
    classes[[ord(mark) for mark in sentence_marks()]] |= SENTENCE_MARK
    lower = np.arange(N_CODE_POINTS, dtype=np.uint32)
    if fold_case:
        lower[:_CASED_END] = [ord(char.lower()[0]) for char in chars[:_CASED_END]]
    classes.flags.writeable = lower.flags.writeable = False
    return CharTables(classes, lower)


@cache
def sentence_marks() -> str:
    """The marks that end a sentence, `stages/data/sentence_marks.txt`."""
    text = resources.files("stages").joinpath("data/sentence_marks.txt").read_text(encoding="utf-8")
    runs = [line.split("-") for line in text.splitlines() if not line.startswith("#")]
    return "".join(chr(code) for run in runs for code in range(int(run[0], 16), int(run[-1], 16) + 1))


def utf8_of(text: pa.Array[Any]) -> Utf8:
    """View a string or large_string array as bytes and int64 offsets; nulls become empty texts.

    Raises TypeError for an array of another type.
    """
    if not (pa.types.is_string(text.type) or pa.types.is_large_string(text.type)):
        raise TypeError(f"a string array is needed, not {text.type}")
    if text.null_count:
        text = text.fill_null("")
    _, offsets, data = text.buffers()
    width = np.dtype(np.int32 if pa.types.is_string(text.type) else np.int64)
    if offsets is None or len(text) == 0:
        return Utf8(np.empty(0, np.uint8), np.zeros(len(text) + 1, np.int64))
    bounds = np.frombuffer(memoryview(offsets), width)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    return Utf8(np.frombuffer(memoryview(data or b""), np.uint8), bounds)


def word_hashes(text: pa.Array[Any], *, fold_case: bool) -> tuple[Hashes, Offsets]:
    """Hash every shingle word of every text: (hashes uint64[n_words], offsets int64[n_texts + 1])."""
    return _word_hashes(utf8_of(text), char_tables(fold_case))


@compiled
def mix64(x: np.uint64) -> np.uint64:
    """Scramble 64 bits, one to one (the finaliser of splitmix64)."""
    x = (x ^ (x >> _S30)) * _MIX_1
    x = (x ^ (x >> _S27)) * _MIX_2
    return x ^ (x >> _S31)


@compiled
def hash_seed() -> np.uint64:
    """State of a hash that has seen nothing."""
    return _HASH_SEED


@compiled
def hash_step(state: np.uint64, code_point: np.uint32) -> np.uint64:
    """Take one more code point (or any small number) into a hash; finish with `hash_end`."""
    state = (state ^ np.uint64(code_point)) * _HASH_PRIME
    return state ^ (state >> _S32)


@compiled
def hash_end(state: np.uint64) -> np.uint64:
    """Finish a hash; never 0, which marks an empty slot of a table."""
    state = mix64(state)
    return state if state != 0 else _ONE


@compiled
def decode(data: Bytes, start: int, end: int, code_points: CodePoints) -> int:
    """Decode UTF-8 bytes [start, end) into `code_points`, which must hold end - start; return their number.

    A sequence cut off at `end` becomes one U+FFFD, so nothing outside the range is ever read.
    """
    n, i = 0, start
    while i < end:
        byte = np.uint32(data[i])
        width = 1 if byte < 0x80 else (2 if byte < 0xE0 else (3 if byte < 0xF0 else 4))
        code = byte
        if width > 1:
            code = np.uint32(byte & (0x7F >> width))
            if i + width > end:
                code, width = np.uint32(_REPLACEMENT), end - i
            else:
                for k in range(1, width):
                    code = np.uint32((code << 6) | (data[i + k] & 0x3F))
                if code >= N_CODE_POINTS:
                    code = np.uint32(_REPLACEMENT)
        code_points[n] = code
        n += 1
        i += width
    return n


@compiled
def shingle_words(code_points: CodePoints, tables: CharTables, hashes: Hashes) -> int:
    """Hash the shingle words of one decoded text into `hashes` (room for len // 2 + 1); return their number."""
    n, inside, state = 0, False, hash_seed()
    for code in code_points:
        if tables.classes[code] & WORD:
            state = hash_step(state, tables.lower[code])
            inside = True
        elif inside:
            hashes[n] = hash_end(state)
            n, inside, state = n + 1, False, hash_seed()
    if inside:
        hashes[n] = hash_end(state)
        n += 1
    return n


@compiled
def _word_hashes(text: Utf8, tables: CharTables) -> tuple[Hashes, Offsets]:
    n_texts = text.offsets.size - 1
    n_bytes = text.offsets[n_texts] - text.offsets[0]
    out = np.empty(n_bytes // 2 + n_texts + 1, np.uint64)
    offsets = np.zeros(n_texts + 1, np.int64)
    for i in range(n_texts):
        start, end = text.offsets[i], text.offsets[i + 1]
        code_points = np.empty(end - start, np.uint32)
        n_chars = decode(text.data, start, end, code_points)
        offsets[i + 1] = offsets[i] + shingle_words(code_points[:n_chars], tables, out[offsets[i] :])
    return out[: offsets[n_texts]].copy(), offsets
