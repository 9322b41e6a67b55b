"""Text statistics ("signals") of Gopher's and FineWeb's rules, computed once for every text by one kernel.

Source: Rae et al. 2021, arXiv 2112.11446, appendix A1.1 (quality) and table A1 (repetition), as RefinedWeb
(arXiv 2306.01116) uses them; Penedo et al. 2024, arXiv 2406.17557, section 3.6, for the four that FineWeb adds (lines
ending in a sentence mark, short lines, newlines, and repeated lines by its own measure). Rules over the signals are
data: `stages.rules`.

Units of text: a *word* is a run of characters other than white space; a *line* is what stands between newlines, a
*paragraph* what stands between runs of two or more newlines in the text stripped of outer white space; lines and
paragraphs of nothing but white space do not count. A length is a number of code points.

======================  ==================================================================================
n_chars                 length of the text
n_words, n_lines        number of words, of lines
mean_word_length        length of all words / n_words
hash_word_ratio         number of '#' / n_words
ellipsis_word_ratio     number of '…' and of '...' (not overlapping) / n_words
bullet_line_share       lines whose first visible character is in `segment.BULLETS` / n_lines
ellipsis_line_share     lines whose last visible character is '…' or closes a '...' / n_lines
punct_line_share        lines whose last visible character is one of `segment.sentence_marks` / n_lines
short_line_share        lines of at most 30 characters, white space included / n_lines
newline_word_ratio      number of newlines / n_words
alpha_word_share        words holding a letter (`str.isalpha`) / n_words
n_stop_words            distinct stop words of the row's language among the lower-cased shingle words;
                        null where the language is null or has no list
dup_line_share          lines equal to an earlier line / n_lines
dup_line_char_share     length of those lines / n_chars
dup_line_text_share     length of those lines / (n_chars - number of newlines)
dup_par_share           paragraphs equal to an earlier paragraph / number of paragraphs
dup_par_char_share      length of those paragraphs / n_chars
top_Ngram_char_share    length of the commonest N-gram of words, spaces between them included, × its number
                        of occurrences / n_chars; of equally common ones the first to occur
dup_Ngram_char_share    length of the words, without spaces, of N-grams that occurred before / n_chars,
                        going from left to right and skipping a repeated N-gram as a whole
======================  ==================================================================================

A share of nothing is 0, so an empty text is 0 throughout; a null text is null throughout; nothing is ever NaN.
Equality of words, lines, paragraphs and N-grams is that of 64-bit hashes.

The values are datatrove's where that is given the same words; `docs/conformance.md` lists the exceptions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.ngrams import duplicate_chars, hash_table, repeats, top_chars, widen
from stages.schema import SIGNAL_NAMES, SIGNALS
from stages.segment import (
    BULLET,
    LETTER,
    SENTENCE_MARK,
    SPACE,
    CharTables,
    CodePoints,
    Hashes,
    Utf8,
    char_tables,
    decode,
    hash_end,
    hash_seed,
    hash_step,
    shingle_words,
    utf8_of,
)
from stages.stop_words import SLOTS, StopTable, StopWords

_N_CHARS = SIGNAL_NAMES.index("n_chars")
_N_WORDS = SIGNAL_NAMES.index("n_words")
_N_LINES = SIGNAL_NAMES.index("n_lines")
_MEAN_WORD = SIGNAL_NAMES.index("mean_word_length")
_HASH = SIGNAL_NAMES.index("hash_word_ratio")
_ELLIPSIS = SIGNAL_NAMES.index("ellipsis_word_ratio")
_BULLET_LINE = SIGNAL_NAMES.index("bullet_line_share")
_ELLIPSIS_LINE = SIGNAL_NAMES.index("ellipsis_line_share")
_PUNCT_LINE = SIGNAL_NAMES.index("punct_line_share")
_SHORT_LINE = SIGNAL_NAMES.index("short_line_share")
_NEWLINE_WORD = SIGNAL_NAMES.index("newline_word_ratio")
_ALPHA = SIGNAL_NAMES.index("alpha_word_share")
_STOP = SIGNAL_NAMES.index("n_stop_words")
_DUP_LINE = SIGNAL_NAMES.index("dup_line_share")
_DUP_LINE_CHAR = SIGNAL_NAMES.index("dup_line_char_share")
_DUP_LINE_TEXT = SIGNAL_NAMES.index("dup_line_text_share")
_DUP_PAR = SIGNAL_NAMES.index("dup_par_share")
_DUP_PAR_CHAR = SIGNAL_NAMES.index("dup_par_char_share")
_TOP_2 = SIGNAL_NAMES.index("top_2gram_char_share")
_DUP_5 = SIGNAL_NAMES.index("dup_5gram_char_share")

_N_SIGNALS = len(SIGNAL_NAMES)

_NEWLINE, _NUMBER_SIGN, _DOT, _ELLIPSIS_SIGN = ord("\n"), ord("#"), ord("."), ord("…")
_SHORT_LINE_CHARS = 30

Row = NDArray[np.float64]
Lengths = NDArray[np.int64]


def compute(text: pa.Array[Any], language: pa.Array[Any], stop_words: StopWords) -> dict[str, pa.Array[Any]]:
    """Compute every signal of `stages.schema.SIGNALS` for each text, in schema order.

    `text` is a string or large_string array, `language` a string array of ISO 639-1 codes of equal length.
    Raises ValueError where the lengths differ, TypeError where `text` holds no strings.
    """
    if len(text) != len(language):
        raise ValueError(f"{len(text)} texts but {len(language)} languages; give one language per text")
    rows = stop_words.rows_of(language)
    matrix = _measure(utf8_of(text), rows, stop_words.table, char_tables())
    no_text = np.asarray(text.is_null())
    masks = {"n_stop_words": no_text | (rows < 0)}
    return {
        field.name: pa.array(matrix[:, k].astype(field.type.to_pandas_dtype()), mask=masks.get(field.name, no_text))
        for k, field in enumerate(SIGNALS)
    }


def add_signals(batch: pa.RecordBatch, stop_words: StopWords) -> pa.RecordBatch:
    """Append every signal to a batch with the columns `text` and `language`."""
    for name, values in compute(batch.column("text"), batch.column("language"), stop_words).items():
        batch = batch.append_column(SIGNALS[SIGNAL_NAMES.index(name)], values)
    return batch


@compiled
def _measure(text: Utf8, stop_rows: Lengths, stop: StopTable, tables: CharTables) -> NDArray[np.float64]:
    n_texts = text.offsets.size - 1
    out = np.zeros((n_texts, _N_SIGNALS))
    for i in range(n_texts):
        start, end = text.offsets[i], text.offsets[i + 1]
        code_points = np.empty(end - start, np.uint32)
        n_chars = decode(text.data, start, end, code_points)
        if n_chars == 0:
            continue
        code_points = code_points[:n_chars]
        row = out[i]
        row[_N_CHARS] = n_chars
        _symbols(code_points, row)
        _words(code_points, tables, row)
        _lines(code_points, tables, row)
        _paragraphs(code_points, tables, row)
        if stop_rows[i] >= 0:
            row[_STOP] = _n_stop_words(code_points, tables, stop.slots[stop_rows[i]])
    return out


@compiled
def _symbols(code_points: CodePoints, row: Row) -> None:
    """Count '#' and ellipses; `_words` divides the counts by the number of words."""
    dots = 0
    for code in code_points:
        dots = dots + 1 if code == _DOT else 0
        if code == _NUMBER_SIGN:
            row[_HASH] += 1
        if code == _ELLIPSIS_SIGN or dots == 3:
            row[_ELLIPSIS] += 1
            dots = 0


@compiled
def _words(code_points: CodePoints, tables: CharTables, row: Row) -> None:
    room = code_points.size // 2 + 1
    hashes = np.empty(room, np.uint64)
    ends = np.zeros(room + 1, np.int64)  # ends[i]: length of the first i words together
    n, n_alpha, length, letter, state = 0, 0, 0, False, hash_seed()
    for i in range(code_points.size + 1):
        kind = tables.classes[code_points[i]] if i < code_points.size else SPACE
        if not kind & SPACE:
            state = hash_step(state, code_points[i])
            letter = letter or kind & LETTER != 0
            length += 1
        elif length:
            hashes[n] = hash_end(state)
            ends[n + 1] = ends[n] + length
            n_alpha += letter
            n, length, letter, state = n + 1, 0, False, hash_seed()
    if n:
        row[_N_WORDS] = n
        row[_MEAN_WORD] = ends[n] / n
        row[_HASH] /= n
        row[_ELLIPSIS] /= n
        row[_ALPHA] = n_alpha / n
        _ngrams(hashes[:n], ends[: n + 1], row)


@compiled
def _ngrams(grams: Hashes, ends: Lengths, row: Row) -> None:
    """Fill the N-gram shares; `grams` starts as the word hashes and is widened in place, one word at a time."""
    words = grams.copy()
    table = hash_table(grams.size)
    for n in range(2, 11):
        grams = widen(grams, words, n)
        if grams.size == 0:
            return
        if n <= 4:
            row[_TOP_2 + n - 2] = top_chars(grams, ends, n, table) / row[_N_CHARS]
        else:
            chars = duplicate_chars(grams, ends, n, table)
            if chars == 0:  # no 5-gram repeats, so no longer one does
                return
            row[_DUP_5 + n - 5] = chars / row[_N_CHARS]


@compiled
def _lines(code_points: CodePoints, tables: CharTables, row: Row) -> None:
    hashes = np.empty(code_points.size + 1, np.uint64)
    lengths = np.empty(code_points.size + 1, np.int64)
    n, n_newlines, length, visible, state = 0, -1, 0, False, hash_seed()  # the end of the text ends a line as well
    n_bullet, n_ellipsis, n_punct, n_short, dots, last = 0, 0, 0, 0, 0, np.uint32(0)
    for i in range(code_points.size + 1):
        code = code_points[i] if i < code_points.size else np.uint32(_NEWLINE)
        if code == _NEWLINE:
            if visible:
                hashes[n], lengths[n] = hash_end(state), length
                n_ellipsis += dots >= 3
                n_punct += tables.classes[last] & SENTENCE_MARK != 0
                n_short += length <= _SHORT_LINE_CHARS
                n += 1
            n_newlines += 1
            length, visible, dots, state = 0, False, 0, hash_seed()
            continue
        state = hash_step(state, code)
        length += 1
        if tables.classes[code] & SPACE == 0:
            if not visible:
                n_bullet += tables.classes[code] & BULLET != 0
            visible, last = True, code
            follows_dot = code == _DOT and i > 0 and code_points[i - 1] == _DOT
            dots = 3 if code == _ELLIPSIS_SIGN else (dots + 1 if follows_dot else (1 if code == _DOT else 0))
    if n:
        n_repeats, chars = repeats(hashes[:n], lengths[:n])
        row[_N_LINES] = n
        row[_BULLET_LINE] = n_bullet / n
        row[_ELLIPSIS_LINE] = n_ellipsis / n
        row[_PUNCT_LINE] = n_punct / n
        row[_SHORT_LINE] = n_short / n
        row[_NEWLINE_WORD] = n_newlines / row[_N_WORDS]
        row[_DUP_LINE] = n_repeats / n
        row[_DUP_LINE_CHAR] = chars / row[_N_CHARS]
        row[_DUP_LINE_TEXT] = chars / (row[_N_CHARS] - n_newlines)


@compiled
def _paragraphs(code_points: CodePoints, tables: CharTables, row: Row) -> None:
    start, end = _stripped(code_points, tables)
    hashes = np.empty((end - start) // 3 + 1, np.uint64)
    lengths = np.empty((end - start) // 3 + 1, np.int64)
    n, newlines, length, visible, state = 0, 0, 0, False, hash_seed()
    for i in range(start, end + 1):
        if i < end and code_points[i] == _NEWLINE:
            newlines += 1
            continue
        if i == end or newlines >= 2:
            if visible:
                hashes[n], lengths[n] = hash_end(state), length
                n += 1
            length, visible, state = 0, False, hash_seed()
        elif newlines == 1:
            state = hash_step(state, np.uint32(_NEWLINE))
            length += 1
        newlines = 0
        if i < end:
            state = hash_step(state, code_points[i])
            length += 1
            visible = visible or tables.classes[code_points[i]] & SPACE == 0
    if n:
        n_repeats, chars = repeats(hashes[:n], lengths[:n])
        row[_DUP_PAR] = n_repeats / n
        row[_DUP_PAR_CHAR] = chars / row[_N_CHARS]


@compiled
def _stripped(code_points: CodePoints, tables: CharTables) -> tuple[int, int]:
    """Bounds of the text without outer white space, as `str.strip` would leave it."""
    start, end = 0, code_points.size
    while start < end and tables.classes[code_points[start]] & SPACE:
        start += 1
    while end > start and tables.classes[code_points[end - 1]] & SPACE:
        end -= 1
    return start, end


@compiled
def _n_stop_words(code_points: CodePoints, tables: CharTables, slots: Hashes) -> int:
    hashes = np.empty(code_points.size // 2 + 1, np.uint64)
    n_words = shingle_words(code_points, tables, hashes)
    seen = np.zeros(SLOTS, np.bool_)
    n = 0
    for i in range(n_words):
        slot = np.int64(hashes[i] & np.uint64(SLOTS - 1))
        while slots[slot] != 0 and slots[slot] != hashes[i]:
            slot = (slot + 1) & (SLOTS - 1)
        if slots[slot] != 0 and not seen[slot]:
            seen[slot] = True
            n += 1
    return n
