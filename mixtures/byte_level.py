"""Byte-level BPE, fast: what a tokenizer.json must be like for the kernels, and the engine made of it.

The kernels do Falcon's layout and GPT-2's: `ByteLevel`, before it `Punctuation` or nothing, after it `Digits`, a split
into three digits, both or neither; then BPE without any of its options. `Unsuited` says what a tokenizer has besides.
That the ids are those of Hugging Face's library is another matter: see `mixtures.equality`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.byte_pairs import DIGIT, NUMERIC, PUNCTUATION, Model, empty_memory, encode, pair_table
from mixtures.code_points import CodePoints

Parsed = Mapping[str, Any]

MEMORY_SLOTS: Final = 2**16
"""Pieces remembered at once, 64 bytes each."""
_CALL_BYTES: Final = 2**23
"""Texts go to the kernel together up to this size, or alone."""
_THREE_DIGITS: Final = ("[0-9][0-9][0-9]", "[0-9]{3}")


class Unsuited(Exception):
    """The kernels do not do what this tokenizer does; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which pre-tokenisers stand around `ByteLevel`."""

    punctuation: bool
    digits: bool
    three_digits: bool


def layout_of(content: Parsed) -> Layout:
    """Layout of a parsed tokenizer.json. Raises Unsuited."""
    if content.get("normalizer") is not None:
        raise Unsuited(f"a normalizer ({content['normalizer'].get('type')})")
    for token in content.get("added_tokens") or ():
        if not token["special"]:
            raise Unsuited(f"an added token that is not special ({token['content']!r})")
    _check_model(content["model"])
    steps = _steps(content.get("pre_tokenizer"))
    layout = Layout(
        punctuation=_take(steps, {"type": "Punctuation", "behavior": "Contiguous"}),
        **{"digits": _take_byte_level(steps) and _take(steps, {"type": "Digits", "individual_digits": False})},
        three_digits=any(
            _take(steps, {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False})
            for regex in _THREE_DIGITS
        ),
    )
    if steps:
        raise Unsuited(f"a pre-tokenizer of another kind or at another place ({steps[0]})")
    return layout


def alphabet() -> list[str]:
    """The symbol of each byte: printable ones of Latin-1 stand for themselves, the others follow from U+0100 on."""
    kept = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def text_bytes(token: str) -> bytes:
    """The bytes that a token's symbols stand for. Raises KeyError where it is not made of them."""
    return bytes(map(_BYTE_OF.__getitem__, token))


def merges_of(content: Parsed) -> list[tuple[str, str]]:
    """Pairs of tokens in order of rank, whichever way the file writes them."""
    return [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in content["model"]["merges"]]


def model_of(content: Parsed, layout: Layout, points: CodePoints) -> Model:
    """Tables for the kernels. Raises Unsuited for a vocabulary with two tokens of one id."""
    vocab: Mapping[str, int] = content["model"]["vocab"]
    size = max(vocab.values(), default=-1) + 1
    if len(set(vocab.values())) < len(vocab):
        raise Unsuited("two tokens with one id")
    merges = merges_of(content)
    lefts, rights, merged = (
        np.array(column, np.int64).reshape(-1)
        for column in (
            [vocab[left] for left, _ in merges],
            [vocab[right] for _, right in merges],
            [vocab[left + right] for left, right in merges],
        )
    )
    pairs, ranks = pair_table(lefts.astype(np.uint32), rights.astype(np.uint32))
    symbols = np.zeros(size, np.int32)
    symbols[list(vocab.values())] = [len(token) for token in vocab]
    return Model(
        classes=points.classes if layout.punctuation else points.classes & np.uint8(~PUNCTUATION & 0xFF),
        byte_flags=_byte_flags(layout, points),
        byte_ids=np.array([vocab.get(symbol, -1) for symbol in alphabet()], np.int32),
        pairs=pairs,
        ranks=ranks,
        merged=merged.astype(np.int32),
        symbols=symbols,
        unique=len(np.unique(merged)) == len(merged),
    )


@dataclass(frozen=True, kw_only=True)
class ByteLevelBpe:
    """The engine: encodes texts with a `Model`."""

    model: Model
    memories: deque[npt.NDArray[np.uint32]] = field(default_factory=deque)
    """Memories not in use: a call takes one, so that threads never share one."""

    def encode(self, texts: Sequence[str]) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]]:
        """Ids of the texts, of some of them at a time: theirs one after another, and where each text's end."""
        try:
            memory = self.memories.pop()
        except IndexError:
            memory = empty_memory(MEMORY_SLOTS)
        for group in _groups(texts):
            buffer = group[0] if len(group) == 1 else b"".join(group)
            ends = np.cumsum([len(text) for text in group], dtype=np.int64)
            ids, id_ends = np.empty(len(buffer), np.uint32), np.empty(len(group), np.int64)
            encode(np.frombuffer(buffer, np.uint8), ends, self.model, memory, ids, id_ends)
            yield ids[: id_ends[-1]], id_ends
        self.memories.append(memory)


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


def _check_model(model: Parsed) -> None:
    if model.get("type") != "BPE":
        raise Unsuited(f"a model of another kind ({model.get('type')})")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(option):
            raise Unsuited(f"BPE with {option}")
    if model.get("unk_token") is not None and any(symbol not in model["vocab"] for symbol in alphabet()):
        raise Unsuited("an unknown token that stands for bytes without a token")


def _steps(pre_tokenizer: Parsed | None) -> list[Parsed]:
    if pre_tokenizer is None:
        return []
    return list(pre_tokenizer["pretokenizers"]) if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _take(steps: list[Parsed], step: Parsed) -> bool:
    """Whether the first of `steps` is this one; it is taken off."""
    if steps and steps[0] == step:
        del steps[0]
        return True
    return False


def _take_byte_level(steps: list[Parsed]) -> bool:
    step = steps.pop(0) if steps else {"type": None}
    if step["type"] != "ByteLevel":
        raise Unsuited(f"a pre-tokenizer of another kind ({step['type']})")
    if step["add_prefix_space"]:
        raise Unsuited("ByteLevel with add_prefix_space")
    if not step.get("use_regex", True):
        raise Unsuited("ByteLevel without its expression")
    return True


def _byte_flags(layout: Layout, points: CodePoints) -> npt.NDArray[np.uint8]:
    flags = np.zeros(256, np.uint8)
    if layout.digits:
        flags[list(points.numeric_bytes)] |= NUMERIC
    if layout.three_digits:
        flags[ord("0") : ord("9") + 1] |= DIGIT
    return flags


_BYTE_OF: Final = {symbol: byte for byte, symbol in enumerate(alphabet())}
