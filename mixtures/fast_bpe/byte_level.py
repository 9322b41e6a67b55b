"""The fast engine: byte-level BPE by the kernels of `byte_pairs`.

It encodes as Hugging Face's library does where `equality` has found so, and is not to be used elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.fast_bpe.byte_pairs import DIGIT, NUMERIC, PUNCTUATION, Bytes, Model, empty_memory, encode, pair_table
from mixtures.fast_bpe.code_points import CodePoints
from mixtures.fast_bpe.tokenizer_layout import Layout, Parsed, alphabet, merges_of, symbols_of

_MEMORY_SLOTS: Final = 2**17
"""Pieces remembered at once, 64 bytes each."""
_CALL_BYTES: Final = 2**23
"""Texts go to the kernel together up to this size, or alone."""


@dataclass(frozen=True, kw_only=True)
class ByteLevelBpe:
    """An encoder with the tables of one tokenizer."""

    model: Model
    memories: deque[npt.NDArray[np.uint32]] = field(default_factory=deque, repr=False)
    """Memories not in use: a call takes one, so that no two threads share one."""

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
        """Ids of the texts, some texts at a time: the ids one after another, and where each text's end."""
        try:
            memory = self.memories.pop()
        except IndexError:
            memory = empty_memory(_MEMORY_SLOTS)
        for group in _groups(texts):
            buffer = group[0] if len(group) == 1 else b"".join(group)
            ends = np.cumsum([len(text) for text in group], dtype=np.int64)
            ids, id_ends = np.empty(len(buffer), np.uint32), np.empty(len(group), np.int64)
            encode(np.frombuffer(buffer, np.uint8), ends, self.model, memory, ids, id_ends)
            yield ids[: id_ends[-1]], id_ends
        self.memories.append(memory)


def rows(ids: npt.NDArray[Any], ends: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[Any]]:
    """The parts of `ids` that end at `ends`, one after another."""
    first = 0
    for end in ends.tolist():
        yield ids[first:end]
        first = end


def model_of(content: Parsed, layout: Layout, points: CodePoints) -> Model:
    """Tables of a parsed tokenizer.json whose layout is `layout`."""
    vocab: Mapping[str, int] = content["model"]["vocab"]
    merges = merges_of(content)
    lefts = np.array([vocab[left] for left, _ in merges], np.uint32)
    rights = np.array([vocab[right] for _, right in merges], np.uint32)
    merged = np.array([vocab[left + right] for left, right in merges], np.int32)
    return Model(
        classes=classes_of(layout, points),
        byte_flags=byte_flags_of(layout, points),
        byte_ids=np.array([vocab.get(symbol, -1) for symbol in alphabet()], np.int32),
        pairs=pair_table(lefts, rights),
        merged=merged,
        symbols=symbols_of(content),
        unique=len(np.unique(merged)) == len(merged),
    )


def classes_of(layout: Layout, points: CodePoints) -> Bytes:
    """Classes of code points as far as the layout tells them apart (`Model.classes`)."""
    return points.classes if layout.punctuation else points.classes & np.uint8(0xFF ^ PUNCTUATION)


def byte_flags_of(layout: Layout, points: CodePoints) -> Bytes:
    """Which bytes the layout splits at (`Model.byte_flags`)."""
    flags = np.zeros(256, np.uint8)
    if layout.digits:
        flags[list(points.numeric_bytes)] |= NUMERIC
    if layout.three_digits:
        flags[ord("0") : ord("9") + 1] |= DIGIT
    return flags


def _groups(texts: Sequence[str]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for text in texts:
        encoded = text.encode()
        if group and size + len(encoded) > _CALL_BYTES:
            yield group
            group, size = [], 0
        group.append(encoded)
        size += len(encoded)
    if group:
        yield group
