"""Proof that the fast engine gives the ids of Hugging Face's library, for one tokenizer.

tokenizer = settle(open_tokenizer(path), path)     # proves once, and keeps the verdict beside the file

What is shown, in this order (docs/decisions/0028-identical-ids.md):

1. The tokenizer has nothing but what the kernels do (`mixtures.layout.layout_of`).
2. The kernels' table holds every merge of the file with its rank, and no other of a million pairs.
3. Both give the same ids for: each token's text, alone and in a row; every character of Unicode in a row and between
   letters and spaces, those of the planes 0 to 3 also alone and between digits, punctuation and line ends; all strings of up to five out of what the
   pre-tokenisers tell apart; mixtures of all that, among them pieces of thousands of symbols.

The first failure makes the verdict unequal and is its reason.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, product
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixtures.byte_level import ByteLevelBpe, model_of, rows
from mixtures.byte_pairs import Model, ranks_of
from mixtures.code_points import CodePoints, characters, probe
from mixtures.layout import Parsed, Unsuited, alphabet, layout_of, merges_of
from mixtures.tokenizer import Tokenizer, with_verdict
from mixtures.verdict import Verdict, engine_digest, library_version, read_verdict, write_verdict

_NEIGHBOURS: Final = ("a", " ", "")
"""Between these stands every character of Unicode."""
_MORE_NEIGHBOURS: Final = ("1", "!", "'", "\n")
"""Between these and alone stands every character of the planes 0 to 3; the others have no letters, numbers or spaces."""
_PLANES_4_ON: Final = 0x40000
_KINDS: Final = ("a", "'", "s", "ll", "1", "11", "½", "!", "€", "ü", " ", "\n", "\u00a0")
"""What the pre-tokenisers tell apart: contractions, bytes that look like numerals, punctuation and what is merely a sign,
and three kinds of white space."""
_DEPTH: Final = 5
_BLOCK_CHARS: Final = 1000
_BATCH: Final = 2000
_OTHER_PAIRS: Final = 1_000_000
_MIXTURES: Final = 1000
_SEED: Final = 0


def settle(tokenizer: Tokenizer, path: Path) -> Tokenizer:
    """The tokenizer, with the fast engine if that is proven equal; the verdict is read or written beside `path`.

    `path` is the tokenizer.json that other processes will open. Some seconds where there is no verdict that holds.
    """
    verdict = read_verdict(path, tokenizer.digest)
    if verdict is None:
        verdict = prove(tokenizer)
        write_verdict(path, verdict)
    return with_verdict(tokenizer, verdict)


def prove(tokenizer: Tokenizer) -> Verdict:
    """Hold the fast engine against the library, for this tokenizer."""
    content = json.loads(tokenizer.content)
    try:
        layout = layout_of(content)
    except Unsuited as unsuited:
        return _verdict(tokenizer, reason=f"the tokenizer has {unsuited}")
    points = probe(alphabet())
    return examine(tokenizer, model_of(content, layout, points), points)


def examine(tokenizer: Tokenizer, model: Model, points: CodePoints) -> Verdict:
    """Hold these tables against the library."""
    content = json.loads(tokenizer.content)
    if reason := _wrong_merge(content, model):
        return _verdict(tokenizer, reason=reason)
    engine = ByteLevelBpe(model=model)
    n_texts = n_tokens = 0
    texts = chain(token_texts(content), unicode_texts(), short_texts(), mixed_texts(content))
    while batch := list(islice(texts, _BATCH)):
        tokens, differing = _compare(engine, tokenizer.engine, batch)
        if differing is not None:
            return _verdict(tokenizer, reason=f"the ids of {differing[:40]!r} differ", texts=n_texts, tokens=n_tokens)
        n_texts, n_tokens = n_texts + len(batch), n_tokens + tokens
    return replace(
        _verdict(tokenizer, reason="", texts=n_texts, tokens=n_tokens),
        equal=True,
        ranges=tuple(points.ranges()),
        numeric_bytes=points.numeric_bytes,
    )


def token_texts(content: Parsed) -> Iterator[str]:
    """The text of each token that is one, and all of them in rows, in an order that brings strangers together."""
    byte_of = {symbol: byte for byte, symbol in enumerate(alphabet())}
    texts = []
    for token in content["model"]["vocab"]:
        try:
            texts.append(bytes(byte_of[symbol] for symbol in token).decode())
        except (KeyError, UnicodeDecodeError):  # no token of this alphabet, or a part of a character
            continue
    yield from texts
    random.Random(_SEED).shuffle(texts)
    yield from _rows(texts, "")


def unicode_texts() -> Iterator[str]:
    """Every character by itself, and between neighbours of each kind."""
    everything = characters()
    for neighbour in _NEIGHBOURS:
        yield from _rows(everything, neighbour)
    planes_0_to_3 = [char for char in everything if ord(char) < _PLANES_4_ON]
    for neighbour in _MORE_NEIGHBOURS:
        yield from _rows(planes_0_to_3, neighbour)
    yield from planes_0_to_3


def short_texts() -> Iterator[str]:
    """All strings of up to five out of what the pre-tokenisers tell apart."""
    for length in range(_DEPTH + 1):
        yield from map("".join, product(_KINDS, repeat=length))


def mixed_texts(content: Parsed) -> Iterator[str]:
    """Characters, kinds and tokens mixed; and long pieces: one character over and over, and letters without a space."""
    choice = random.Random(_SEED)
    everything, tokens = characters(), [text for text in islice(token_texts(content), len(content["model"]["vocab"]))]
    letters = [token for token in tokens if token.isalpha()] or ["a"]
    for _ in range(_MIXTURES):
        parts = [*choice.choices(everything, k=50), *choice.choices(_KINDS, k=50), *choice.choices(tokens, k=50)]
        choice.shuffle(parts)
        yield "".join(parts)
        yield "".join(choice.choices(letters, k=choice.randrange(300)))
    for kind, length in product((*_KINDS, "e", "=", "-", "漢", "\U0001f600", "\0"), (30, 31, 32, 33, 63, 64, 65, 66, 3000)):
        yield kind * length


def _rows(parts: Sequence[str], between: str) -> Iterator[str]:
    for first in range(0, len(parts), _BLOCK_CHARS):
        yield between + between.join(parts[first : first + _BLOCK_CHARS]) + between


def _compare(fast: ByteLevelBpe, library: Any, texts: list[str]) -> tuple[int, str | None]:
    """How many tokens the texts have, and the first text whose ids differ, if one does."""
    ours = list(chain.from_iterable(rows(ids, ends) for ids, ends in fast.encode(texts)))
    theirs = [encoding.ids for encoding in library.encode_batch_fast(texts, add_special_tokens=False)]
    for text, a, b in zip(texts, ours, theirs, strict=True):
        if a.tolist() != b:
            return 0, text
    return sum(map(len, ours)), None


def _wrong_merge(content: Parsed, model: Model) -> str:
    """What is wrong with the kernels' table; empty where nothing is."""
    vocab, merges = content["model"]["vocab"], merges_of(content)
    rank_of = {(vocab[left], vocab[right]): rank for rank, (left, right) in enumerate(merges)}
    if any(model.symbols[model.merged[rank]] != model.symbols[a] + model.symbols[b] for (a, b), rank in rank_of.items()):
        return "a merge does not make the token of its two parts"
    generator = np.random.default_rng(_SEED)
    others = generator.integers(0, len(model.symbols), (_OTHER_PAIRS, 2))
    pairs = np.concatenate([np.array(list(rank_of), np.int64).reshape(-1, 2), others]).astype(np.uint32)
    found = ranks_of(pairs[:, 0].copy(), pairs[:, 1].copy(), model)
    for (left, right), rank in zip(pairs.tolist(), found.tolist(), strict=True):
        if rank_of.get((left, right), -1) != rank:
            return f"the merge of {left} and {right} has another rank"
    return ""


def _verdict(tokenizer: Tokenizer, *, reason: str, texts: int = 0, tokens: int = 0) -> Verdict:
    return Verdict(
        tokenizer=tokenizer.digest,
        library=library_version(),
        engine=engine_digest(),
        equal=False,
        reason=reason,
        texts=texts,
        tokens=tokens,
    )
