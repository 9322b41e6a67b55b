"""Best-fit packing: documents into windows so that few are cut and little is padded.

A document longer than a window fills whole windows first; what is left of it, and every shorter document, goes into the
window with the least room that still holds it, the longest first (best-fit decreasing; for training: Ding et al.,
"Fewer truncations improve language modeling", 2024, arXiv 2404.10830). Documents are packed in blocks of neighbours, so
that the work fits into memory and a window's documents lie near one another on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.run import TokenRun
from mixtures.windows import CHUNK

BLOCK_TOKENS: Final = 2**26
"""Tokens packed together: some ten thousand windows, of which only the last ones stay half empty."""

Table = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


def packed(run: TokenRun, context: int, block_tokens: int = BLOCK_TOKENS) -> Iterator[tuple[Numbers, Table]]:
    """Pack a run block by block: the number of chunks in each window, and the chunks, window after window."""
    starts = document_starts(run)
    first_of_block = np.unique(np.searchsorted(starts, np.arange(0, len(run) + block_tokens, block_tokens)))
    for low, high in pairwise(first_of_block.tolist()):
        chunks = chunks_of(starts[low : high + 1], context)
        bins = best_fit(chunks["length"].astype(np.int64), context + 1)
        order = np.argsort(bins, kind="stable")
        yield np.bincount(bins), chunks[order]


def document_starts(run: TokenRun) -> Numbers:
    """Where each document of a run starts, and where the last one ends."""
    return np.append(run.document_starts(0, len(run)), len(run))


def chunks_of(starts: Numbers, context: int) -> Table:
    """Documents, given by their starts and the end of the last, as chunks of at most `context + 1` tokens.

    A chunk shares its last token with the next one of its document, so that each token but the first is a target once.
    """
    lengths = np.diff(starts)
    n_chunks = -(-(lengths - 1) // context)
    document = np.repeat(np.arange(len(lengths)), n_chunks)
    within = np.arange(len(document)) - np.repeat(np.cumsum(n_chunks) - n_chunks, n_chunks)
    chunks = np.zeros(len(document), CHUNK)
    chunks["start"] = starts[document] + within * context
    chunks["length"] = np.minimum(context + 1, lengths[document] - within * context)
    return chunks


def best_fit(lengths: Numbers, capacity: int) -> Numbers:
    """The bin of each item by best-fit decreasing; bins are numbered as they are opened, of equal ones the first fills.

    All items of one length go in one stroke: bins with the least sufficient room are filled as far as they will go.
    """
    bins = np.empty(len(lengths), np.int64)
    order = np.argsort(-lengths, kind="stable")
    rooms = _Rooms(capacity)
    _, first = np.unique(-lengths[order], return_index=True)
    for items in np.split(order, first[1:]):
        while len(items):
            length = int(lengths[items[0]])
            placed = rooms.place(length, len(items))
            bins[items[: len(placed)]] = placed
            items = items[len(placed) :]
    return bins


class _Rooms:
    """Open bins by the room that is left in them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._bins: list[list[Numbers]] = [[] for _ in range(capacity + 1)]
        self._is_there = np.zeros(capacity + 1, np.bool_)
        self._opened = 0

    def place(self, length: int, n_items: int) -> Numbers:
        """Bins for the next items of a length: at least one, at most `n_items`."""
        room = length + int(np.argmax(self._is_there[length:]))
        if self._is_there[room]:
            bins = self._take(room, -(-n_items // (room // length)))
        else:
            room = self._capacity
            n_bins = -(-n_items // (room // length))
            bins = np.arange(self._opened, self._opened + n_bins)
            self._opened += n_bins
        per_bin = room // length
        placed = np.repeat(bins, per_bin)[:n_items]
        in_last = len(placed) - per_bin * (len(bins) - 1)
        self._put(room - per_bin * length, bins[:-1])
        self._put(room - in_last * length, bins[-1:])
        return placed

    def _take(self, room: int, n_bins: int) -> Numbers:
        bins = np.concatenate(self._bins[room])
        self._bins[room] = [bins[n_bins:]] if len(bins) > n_bins else []
        self._is_there[room] = len(bins) > n_bins
        return bins[:n_bins]

    def _put(self, room: int, bins: Numbers) -> None:
        if len(bins) and room:
            self._bins[room].append(bins)
            self._is_there[room] = True
