"""fastText's quantised models (`lid.176.ftz`), read here and asked in compiled loops: the library's very answers.

The library spends most of a prediction on streams, on strings for each n-gram and on a hash map; here a text is bytes,
an n-gram is a running hash, and both tables are arrays. Sums are taken in the library's order and in its precision,
so that probabilities are the same to the last bit (`tests/stages/test_quantized_model.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.model_file import ModelFile, UnsupportedModelError

_LEAST = 1e-5  # what the library adds to a probability before it takes the logarithm
_END = "</s>"  # stands for the end of the line
_BEGIN_BYTE, _END_BYTE = np.uint8(ord("<")), np.uint8(ord(">"))

_END_LETTERS = np.frombuffer(_END.encode(), np.uint8)
_LABEL_LETTERS = np.frombuffer(b"__label__", np.uint8)

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Table:
    """Words and n-grams as rows of the input matrix.

    `slots`: word or -1 by hash, probed one after the other. Word w is `letters[starts[w]:starts[w + 1]]`; its rows are
    `rows[row_starts[w]:row_starts[w + 1]]`. `buckets`: row of an n-gram by its hash, -1 where it was pruned.
    """

    slots: Ints
    letters: Bytes
    starts: Ints
    rows: Ints
    row_starts: Ints
    buckets: NDArray[np.int32]
    min_n: int
    max_n: int


class QuantizedModel:
    """A quantised supervised model with hierarchical softmax; `predict` is that of the fasttext package's model."""

    def __init__(self, data: bytes) -> None:
        """Read a model file's bytes; UnsupportedModelError where it is of another kind."""
        file = ModelFile(data)
        args = file.args()
        words, labels, counts, pruned = file.dictionary()
        if not file.value("?"):
            raise UnsupportedModelError("the model is not quantised")
        self._input = file.quantized_matrix()
        self._output = file.quantized_matrix() if file.value("?") else file.dense_matrix()
        self._labels = labels
        self._table = _table(words, pruned, args)
        self._left, self._right = _tree(counts)

    def predict(self, line: str, k: int) -> tuple[list[str], list[float]]:
        """Return the `k` likeliest labels of a line, best first, and their probabilities."""
        raw = np.frombuffer(line.encode("utf-8"), np.uint8)
        table = self._table
        hidden = _hidden(
            raw,
            *(table.slots, table.letters, table.starts, table.rows, table.row_starts, table.buckets),
            *(table.min_n, table.max_n, self._input),
        )
        scores, labels = np.empty(k + 1, np.float32), np.empty(k + 1, np.int64)
        n = _ranked(hidden, self._output, self._left, self._right, k, scores, labels)
        return [self._labels[label] for label in labels[:n].tolist()], scores[:n].tolist()


def _table(words: list[bytes], pruned: NDArray[np.int32], args: dict[str, int]) -> _Table:
    letters = np.frombuffer(b"".join(words), np.uint8)
    starts = np.cumsum([0, *map(len, words)]).astype(np.int64)
    slots = np.full(1 << (2 * len(words)).bit_length(), -1, np.int64)
    buckets = np.full(args["bucket"], -1, np.int32)
    buckets[pruned[:, 0]] = pruned[:, 1] + len(words)
    _fill_slots(slots, letters, starts)
    rows, row_starts = [], [0]
    for i, word in enumerate(words):
        own = np.empty(args["max_n"] * (len(word) + 2) + 1, np.int64)
        own[0], n = i, 1
        if word != _END.encode():
            marked = np.frombuffer(b"<" + word + b">", np.uint8)
            n = _add_ngrams(marked, buckets, args["min_n"], args["max_n"], own, 1)
        rows += own[:n].tolist()
        row_starts.append(len(rows))
    return _Table(
        slots=slots,
        letters=letters,
        starts=starts,
        rows=np.array(rows, np.int64),
        row_starts=np.array(row_starts, np.int64),
        buckets=buckets,
        min_n=args["min_n"],
        max_n=args["max_n"],
    )


def _tree(counts: Ints) -> tuple[Ints, Ints]:
    """Children of each node of the Huffman tree over the labels, -1 for leaves; the last node is the root."""
    n = len(counts)
    left, right = np.full(2 * n - 1, -1, np.int64), np.full(2 * n - 1, -1, np.int64)
    weights = np.full(2 * n - 1, 10**15, np.int64)
    weights[:n] = counts
    leaf, node = n - 1, n
    for i in range(n, 2 * n - 1):
        smallest = []
        for _ in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                smallest.append(leaf)
                leaf -= 1
            else:
                smallest.append(node)
                node += 1
        left[i], right[i] = smallest
        weights[i] = weights[smallest[0]] + weights[smallest[1]]
    return left, right


@compiled
def _hash(text: Bytes, start: int, end: int) -> np.uint32:
    """FNV-1a of 32 bits over signed characters, as the library has it."""
    code = np.uint32(2166136261)
    for at in range(start, end):
        code = np.uint32(code ^ np.uint32(np.int8(text[at])))
        code = np.uint32(code * np.uint32(16777619))
    return code


@compiled
def _fill_slots(slots: Ints, letters: Bytes, starts: Ints) -> None:
    for word in range(starts.size - 1):
        slot = _hash(letters, starts[word], starts[word + 1]) & (slots.size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (slots.size - 1)
        slots[slot] = word


@compiled
def _find(text: Bytes, start: int, end: int, slots: Ints, letters: Bytes, starts: Ints) -> int:
    """The word that is `text[start:end]`; -1 where it is none."""
    slot = _hash(text, start, end) & (slots.size - 1)
    while slots[slot] >= 0:
        word = slots[slot]
        size = starts[word + 1] - starts[word]
        if size == end - start and _equal(text, start, letters[starts[word] : starts[word + 1]]):
            return int(word)
        slot = (slot + 1) & (slots.size - 1)
    return -1


@compiled
def _add_ngrams(marked: Bytes, buckets: NDArray[np.int32], min_n: int, max_n: int, rows: Ints, n_rows: int) -> int:
    """Append the rows of the n-grams of a word between its marks; returns the number of rows."""
    for start in range(marked.size):
        if marked[start] & 0xC0 == 0x80:
            continue
        code, at, n = np.uint32(2166136261), start, 1
        while at < marked.size and n <= max_n:
            code = np.uint32(np.uint32(code ^ np.uint32(np.int8(marked[at]))) * np.uint32(16777619))
            at += 1
            while at < marked.size and marked[at] & 0xC0 == 0x80:
                code = np.uint32(np.uint32(code ^ np.uint32(np.int8(marked[at]))) * np.uint32(16777619))
                at += 1
            if n >= min_n and not (n == 1 and (start == 0 or at == marked.size)):
                row = buckets[code % np.uint32(buckets.size)]
                if row >= 0:
                    rows[n_rows] = row
                    n_rows += 1
            n += 1
    return n_rows


@compiled
def _equal(text: Bytes, start: int, letters: Bytes) -> bool:
    """Whether `letters` stand at `start`."""
    if text.size - start < letters.size:
        return False
    for i in range(letters.size):  # noqa: SIM110 - numba compiles no generators
        if text[start + i] != letters[i]:
            return False
    return True


@compiled
def _is_space(byte: np.uint8) -> bool:
    return bool(byte == 32 or 9 <= byte <= 13 or byte == 0)


@compiled
def _add(hidden: Floats, matrix: Floats, rows: Ints, start: int, end: int) -> int:
    """Add rows to `hidden`, one after the other; returns how many."""
    for k in range(start, end):
        row = rows[k]
        for i in range(matrix.shape[1]):
            hidden[i] += matrix[row, i]
    return end - start


@compiled
def _hidden(
    line: Bytes,
    slots: Ints,
    letters: Bytes,
    starts: Ints,
    rows: Ints,
    row_starts: Ints,
    buckets: NDArray[np.int32],
    min_n: int,
    max_n: int,
    matrix: Floats,
) -> Floats:
    """The mean of the rows of all words and n-grams of the line, and of its end."""
    hidden = np.zeros(matrix.shape[1], np.float32)
    marked = np.empty(line.size + 2, np.uint8)
    found = np.empty(max_n * (line.size + 2) + 1, np.int64)
    end = _find(_END_LETTERS, 0, _END_LETTERS.size, slots, letters, starts)
    n, at, ended = 0, 0, False
    while at <= line.size:
        start = at
        while at < line.size and not _is_space(line[at]):
            at += 1
        if at > start:
            word = _find(line, start, at, slots, letters, starts)
            if word >= 0:
                n += _add(hidden, matrix, rows, row_starts[word], row_starts[word + 1])
                ended = word == end
                if ended:  # the library reads no further
                    break
            elif not _equal(line, start, _LABEL_LETTERS):  # no label has a space in it
                marked[0] = _BEGIN_BYTE
                marked[1 : 1 + at - start] = line[start:at]
                marked[1 + at - start] = _END_BYTE
                n_found = _add_ngrams(marked[: at - start + 2], buckets, min_n, max_n, found, 0)
                n += _add(hidden, matrix, found, 0, n_found)
        at += 1
    if end >= 0 and not ended:
        n += _add(hidden, matrix, rows, row_starts[end], row_starts[end + 1])
    if n:
        share = np.float32(1.0 / n)
        for i in range(hidden.size):
            hidden[i] *= share
    return hidden


@compiled
def _log(probability: np.float32) -> np.float32:
    return np.float32(math.log(np.float64(probability) + _LEAST))


@compiled
def _rise(scores: Floats, labels: Ints, at: int, score: np.float32, label: int) -> None:
    """`std::push_heap` of libstdc++ with the smallest score on top: the new one begins at `at`."""
    while at > 0 and scores[(at - 1) // 2] > score:
        scores[at], labels[at] = scores[(at - 1) // 2], labels[(at - 1) // 2]
        at = (at - 1) // 2
    scores[at], labels[at] = score, label


@compiled
def _pop(scores: Floats, labels: Ints, size: int) -> None:
    """`std::pop_heap` of libstdc++ on the first `size`: the smallest goes to their end."""
    last = size - 1
    score, label = scores[last], labels[last]
    scores[last], labels[last] = scores[0], labels[0]
    at, child = 0, 0
    while child < (last - 1) // 2:
        child = 2 * (child + 1)
        if scores[child] > scores[child - 1]:
            child -= 1
        scores[at], labels[at] = scores[child], labels[child]
        at = child
    if last % 2 == 0 and child == (last - 2) // 2:
        child = 2 * (child + 1)
        scores[at], labels[at] = scores[child - 1], labels[child - 1]
        at = child - 1
    _rise(scores, labels, at, score, label)


@compiled
def _ranked(hidden: Floats, output: Floats, left: Ints, right: Ints, k: int, scores: Floats, labels: Ints) -> int:
    """Fill `scores` and `labels` with the best `k` or fewer, best first; returns their number.

    As the library walks its tree and keeps its heap, so that equal scores come in its order. Nodes whose logarithm is
    below the least are left out with all below them. Both arrays have room for one more than `k`.
    """
    n_labels = (left.size + 1) // 2
    least = _log(np.float32(0.0))
    nodes, logs = np.empty(left.size + 1, np.int64), np.empty(left.size + 1, np.float32)
    nodes[0], logs[0], n_waiting, size = left.size - 1, 0.0, 1, 0
    while n_waiting:
        n_waiting -= 1
        node, log = nodes[n_waiting], logs[n_waiting]
        if log < least or (size == k and log < scores[0]):
            continue
        if left[node] < 0:
            _rise(scores, labels, size, log, node)
            size += 1
            if size > k:
                _pop(scores, labels, size)
                size -= 1
            continue
        dot = np.float32(0.0)
        for i in range(hidden.size):
            dot += output[node - n_labels, i] * hidden[i]
        share = np.float32(1.0 / np.float64(np.float32(1.0) + np.float32(math.exp(-dot))))
        nodes[n_waiting], logs[n_waiting] = right[node], log + _log(share)
        nodes[n_waiting + 1], logs[n_waiting + 1] = left[node], log + _log(np.float32(1.0 - np.float64(share)))
        n_waiting += 2
    for unsorted in range(size, 1, -1):
        _pop(scores, labels, unsorted)
    for i in range(size):
        scores[i] = np.float32(math.exp(scores[i]))
    return size
