"""Exact substrings: passages of k words or more that stand earlier too are cut, the first copy is kept.

Rule: a word is removed if and only if some window of k words that covers it occurs earlier, in the order of documents
of `stages.dedup_order` and by position within one; occurrences that overlap count. What makes two windows equal is
said in `stages.windows`. One pass defines the result: joins made by cutting are not looked at again. A cut runs from
the first character of its first word to the last of its last; what stands around it stays as it is.

The positions covered by repeated passages of k words or more are the union of the repeated k-word windows, so no
suffix array is needed. `find_spans` does it all in one process; a distributed run takes the same steps apart
(`stages.window_sketch`, `stages.repeats`, then `spans_of` and `cut` per range of documents).

Source: Lee et al. 2022, arXiv 2107.06499; RefinedWeb, arXiv 2306.01116, section 3.3 and appendix G.3, which works on
spans of 50 tokens and discards documents with fewer than 20 characters left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.repeats import (
    Documents,
    candidates,
    documents_of,
    first_occurrences,
    hash_partition,
    in_order,
    only,
    settle,
    ties,
    without,
    word_places,
)
from stages.schema import SPAN, WINDOW
from stages.segment import Bytes, Offsets, Utf8, utf8_of
from stages.verdicts import Verdict, with_verdicts
from stages.window_sketch import count, empty_sketch
from stages.windows import Split, WindowHashes, text_window_hashes, window_hashes, words_of

Mode = Literal["cut", "mask", "drop"]
Rows = NDArray[np.int64]

EMPTIED, REPEATED = "emptied", "repeated_passage"
"""Rules of the filter: too little was left of the text; the text holds a repeated passage (mode `drop`)."""


@dataclass(frozen=True, kw_only=True)
class SubstringRules:
    """Settings: the paper's, in words for its tokens.

    k: least length of a repeated passage, in words. min_chars: documents of which cutting leaves fewer characters,
    white space around them not counted, are dropped. mode: `cut` takes the passages out; `mask` keeps every text, and
    the spans say what to leave out of the loss; `drop` drops the documents that hold any. tokenizer: a tokenizer's file
    or name, whose tokens stand in for words; None for words.
    """

    k: int = 50
    min_chars: int = 20
    mode: Mode = "cut"
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"substrings: k is {self.k}; give at least 1")
        if self.mode not in get_args(Mode):
            raise ValueError(f"substrings: no mode {self.mode!r}; the modes are {', '.join(get_args(Mode))}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """Texts without the removed passages, and the bytes of each that were covered, int64[n_texts]."""

    text: pa.Array
    removed_bytes: Rows


def find_spans(
    documents: Sequence[pa.RecordBatch],
    ranks: Sequence[Rows],
    k: int,
    *,
    n_partitions: int = 1,
    split: Split = words_of,
) -> pa.Table:
    """Spans of a whole corpus, batches with `id` and `text`, sorted by (rank, start).

    `split` says what a word is, `ranks` gives each batch's places in the order. The number of partitions, and how
    documents are spread over batches and rows, change nothing but memory: 8 bytes a window; the candidates of all
    partitions at 24 bytes; 40 bytes a repeated window; and the texts that hold one, with 32 bytes a word.
    """
    windows = [_window_hashes(batch["text"], k, split) for batch in documents]
    sketch = empty_sketch(sum(one.hashes.size for one in windows))
    for one in windows:
        count(sketch, one.hashes)
    found = [candidates(*pair, sketch) for pair in zip(windows, ranks, strict=True)]
    del windows, sketch
    parts = hash_partition(pa.concat_tables([WINDOW.empty_table(), *found]), n_partitions)
    del found
    repeats = in_order(pa.concat_tables(map(first_occurrences, parts)))
    concerned = _concerned(documents, ranks, split, repeats)
    if (tied := ties(repeats, concerned, k)).size:
        doubtful = pa.concat_tables(only(part, tied) for part in parts)
        concerned = _concerned(documents, ranks, split, repeats, doubtful)
        repeats = in_order(pa.concat_tables([without(repeats, tied), settle(doubtful, concerned, k)]))
    return spans_of(repeats, concerned, k)


def spans_of(repeats: pa.Table, documents: Documents, k: int) -> pa.Table:
    """Merge repeats that are in order into spans; `documents` holds all that they name. One row per source."""
    doc, start, end, first_doc, first = _rows(*word_places(repeats, documents), k)
    words = documents.words
    own_base, first_base = words.text.offsets[doc], words.text.offsets[first_doc]
    start_byte = words.starts[words.offsets[doc] + start] - own_base
    end_byte = words.ends[words.offsets[doc] + end - 1] - own_base
    goes_on = (doc[:-1] == doc[1:]) & (end[:-1] == start[1:])
    end_byte[:-1][goes_on] = start_byte[1:][goes_on]
    columns = [
        documents.ids.take(pa.array(doc)),
        pa.array(start_byte),
        pa.array(end_byte),
        documents.ids.take(pa.array(first_doc)),
        pa.array(words.starts[words.offsets[first_doc] + first] - first_base),
    ]
    return pa.Table.from_arrays(columns, schema=SPAN)


def cut(ids: pa.Array[Any], text: pa.Array[Any], spans: pa.Table) -> Cut:
    """Take the passages that `spans` names out of texts; spans of other documents are passed over."""
    row = pc.index_in(spans["id"].combine_chunks(), ids)
    mine = spans.filter(row.is_valid())
    rows, starts, ends = row.drop_null().to_numpy(), mine["start"].to_numpy(), mine["end"].to_numpy()
    order = np.lexsort((starts, rows))
    data, offsets = _without_spans(utf8_of(text), rows[order].astype(np.int64), starts[order], ends[order])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    left = pa.Array.from_buffers(pa.large_string(), len(text), buffers).cast(text.type)
    if text.null_count:
        left = pc.if_else(text.is_valid(), left, pa.scalar(None, text.type))
    return Cut(text=left, removed_bytes=np.bincount(rows, ends - starts, len(text)).astype(np.int64))


def filter_substrings(batch: pa.RecordBatch, done: Cut, rules: SubstringRules) -> pa.RecordBatch:
    """Append `substrings` to the batch whose `text` was cut: `emptied` (value: characters left), or in mode `drop`
    `repeated_passage` (value: share of the bytes covered). Documents without a repeated passage are kept in any mode.
    """
    verdicts: list[Verdict | None] = [None] * batch.num_rows
    touched = np.flatnonzero(done.removed_bytes)
    if rules.mode == "drop":
        n_bytes = pc.binary_length(batch["text"]).to_numpy(zero_copy_only=False)
        for row in touched.tolist():
            verdicts[row] = Verdict(REPEATED, float(done.removed_bytes[row] / n_bytes[row]), 0)
    elif rules.mode == "cut":
        left = pc.utf8_length(pc.utf8_trim_whitespace(done.text.take(pa.array(touched)))).to_pylist()
        for row, n_chars in zip(touched.tolist(), left, strict=True):
            if n_chars < rules.min_chars:
                verdicts[row] = Verdict(EMPTIED, n_chars, rules.min_chars)
    return with_verdicts(batch, "substrings", verdicts)


def _window_hashes(text: pa.Array, k: int, split: Split) -> WindowHashes:
    return text_window_hashes(text, k) if split is words_of else window_hashes(split(text), k)


def _concerned(documents: Iterable[pa.RecordBatch], ranks: Iterable[Rows], split: Split, *named: pa.Table) -> Documents:
    """The documents that tables of windows or repeats name."""
    columns = [table[name] for table in named for name in ("rank", "first_rank") if name in table.column_names]
    wanted = reduce(np.union1d, (column.to_numpy() for column in columns))
    ids, texts, places = [pa.array([], pa.string())], [pa.array([], pa.large_string())], [np.empty(0, np.int64)]
    for batch, rank in zip(documents, ranks, strict=True):
        rows = np.flatnonzero(np.isin(rank, wanted))
        ids.append(batch["id"].take(pa.array(rows)))
        texts.append(batch["text"].cast(pa.large_string()).take(pa.array(rows)))
        places.append(rank[rows])
    return documents_of(pa.concat_arrays(ids), pa.concat_arrays(texts), np.concatenate(places), split)


@compiled
def _rows(
    docs: Rows, positions: Rows, first_docs: Rows, first_positions: Rows, k: int
) -> tuple[Rows, Rows, Rows, Rows, Rows]:
    """Stretches of words with one source: (document, start, end, first document, start there), in words.

    A word belongs to the leftmost window that covers it, so a window adds the words beyond the one before it.
    """
    doc, start, end = np.empty(docs.size, np.int64), np.empty(docs.size, np.int64), np.empty(docs.size, np.int64)
    first_doc, first = np.empty(docs.size, np.int64), np.empty(docs.size, np.int64)
    n = 0
    for i in range(docs.size):
        begin = positions[i]
        if n and doc[n - 1] == docs[i] and begin <= end[n - 1]:
            begin = end[n - 1]
        source = first_positions[i] + begin - positions[i]
        last = n - 1
        goes_on = n > 0 and doc[last] == docs[i] and end[last] == begin and first_doc[last] == first_docs[i]
        if goes_on and first[last] - start[last] == source - begin:
            end[last] = positions[i] + k
        else:
            doc[n], start[n], end[n] = docs[i], begin, positions[i] + k
            first_doc[n], first[n] = first_docs[i], source
            n += 1
    return doc[:n], start[:n], end[:n], first_doc[:n], first[:n]


@compiled
def _without_spans(text: Utf8, rows: Rows, starts: Rows, ends: Rows) -> tuple[Bytes, Offsets]:
    """Texts as one run of bytes less the spans, which are sorted by row and start and do not overlap."""
    n_texts = text.offsets.size - 1
    data = np.empty(text.offsets[n_texts] - text.offsets[0] - np.sum(ends - starts), np.uint8)
    offsets = np.zeros(n_texts + 1, np.int64)
    n, span = 0, 0
    for i in range(n_texts):
        at = text.offsets[i]
        while span < rows.size and rows[span] == i:
            kept = text.data[at : text.offsets[i] + starts[span]]
            data[n : n + kept.size] = kept
            n += kept.size
            at = text.offsets[i] + ends[span]
            span += 1
        kept = text.data[at : text.offsets[i + 1]]
        data[n : n + kept.size] = kept
        n += kept.size
        offsets[i + 1] = n
    return data, offsets
