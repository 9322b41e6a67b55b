"""Proof that the fast engine gives the ids of Hugging Face's library, for one tokenizer.

tokenizer = settle(open_tokenizer(path), path)     # proves once, and keeps the verdict beside the file

What is shown, in this order (docs/decisions/0028-identical-ids.md):

1. The tokenizer has nothing but what the kernels do (`tokenizer_layout.layout_of`).
2. The kernels' tables are those of the file: every merge with its rank and what it makes, and none of 200,000
   other pairs; every byte's token.
3. Both cut texts into the same pieces: the library is given a model of two tokens for each byte, one for the first of a
   piece and one for the others, so that its ids show every cut. Every character of Unicode stands in a row and between
   letters and spaces, those of the planes 0 to 3 also alone and between digits, punctuation and line ends; any two
   letters stand behind an apostrophe; and all strings of up to five out of what the pre-tokenisers tell apart.
4. Both give the same ids for each token's text, alone and in a row; for special strings; for every character of
   Unicode in a row; and for mixtures of all that, among them pieces of thousands of symbols.

The first failure makes the verdict unequal and is its reason.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice, product
from pathlib import Path
from string import ascii_letters
from typing import Any, Final

import numpy as np

from mixtures.fast_bpe.byte_level import ByteLevelBpe, byte_flags_of, classes_of, model_of, rows
from mixtures.fast_bpe.byte_pairs import Bytes, Model, cut, ranks_of
from mixtures.fast_bpe.code_points import CodePoints, characters, probe
from mixtures.fast_bpe.tokenizer_layout import Parsed, UnsuitedError, alphabet, layout_of, merges_of
from mixtures.fast_bpe.verdict import Verdict, engine_digest, library_version, read_verdict, write_verdict
from mixtures.tokenizer import Tokenizer, with_verdict

_NEIGHBOURS: Final = ("a", " ", "")
"""Between these stands every character of Unicode."""
_MORE_NEIGHBOURS: Final = ("1", "!", "'", "\n")
"""Between these, and alone, stands what is not mere filling: the planes 0 to 3, and of the others what has a class."""
_PLANES_4_ON: Final = 0x40000
_KINDS: Final = ("a", "'", "s", "ll", "1", "11", "½", "!", "€", "ü", " ", "\n", "\u00a0")
"""What the pre-tokenisers tell apart: contractions, bytes that look like numerals, punctuation and what is merely a
sign, and three kinds of white space."""
_DEPTH: Final = 5
_BLOCK_CHARS: Final = 1000
_BATCH: Final = 250
_OTHER_PAIRS: Final = 200_000
_MIXTURES: Final = 1000
_SEED: Final = 0


def settle(tokenizer: Tokenizer, path: Path) -> Tokenizer:
    """The tokenizer, with the fast engine if that is proven equal; the verdict is read or written beside `path`.

    `path` is the tokenizer.json that other processes will open. Takes some seconds where no verdict lies there.
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
    except UnsuitedError as unsuited:
        return _verdict(tokenizer, reason=f"the tokenizer has {unsuited}")
    points = code_points()
    model = model_of(content, layout, points)
    reason = (
        wrong_table(content, model)
        or _differing_layout(json.dumps(content["pre_tokenizer"]))
        or differing_ids(tokenizer.engine, model, id_texts(content))
    )
    return _verdict(tokenizer, reason=reason, points=points)


def wrong_table(content: Parsed, model: Model) -> str:
    """What the kernels' tables have other than the file; empty where nothing."""
    vocab = content["model"]["vocab"]
    if model.byte_ids.tolist() != [vocab.get(symbol, -1) for symbol in alphabet()]:
        return "a byte has another token"
    ranks = {(vocab[left], vocab[right]): rank for rank, (left, right) in enumerate(merges_of(content))}
    if model.merged.tolist() != [vocab[left + right] for left, right in merges_of(content)]:
        return "a merge makes another token"
    if any(model.symbols[token_id] != len(token) for token, token_id in vocab.items()):
        return "a token has another length"
    others = np.random.default_rng(_SEED).integers(0, len(model.symbols), (_OTHER_PAIRS, 2))
    pairs = np.concatenate([np.array(list(ranks), np.int64).reshape(-1, 2), others]).astype(np.uint32)
    found = ranks_of(pairs[:, 0].copy(), pairs[:, 1].copy(), model)
    for (left, right), rank in zip(pairs.tolist(), found.tolist(), strict=True):
        if ranks.get((left, right), -1) != rank:
            return f"the merge of {left} and {right} has another rank"
    return ""


def differing_pieces(pre_tokenizer: Any, classes: Bytes, byte_flags: Bytes, texts: Iterable[str]) -> str:
    """Which text the library's `pre_tokenizer` (as in tokenizer.json) cuts otherwise than the kernels; empty: none."""
    library = _showing_cuts(pre_tokenizer)
    for batch in _batches(texts):
        encoded = [text.encode() for text in batch]
        text, ends = np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([*map(len, encoded)])
        marks = np.empty(len(text), np.uint32)
        cut(text, ends, classes, byte_flags, marks)
        if (found := _first_difference(batch, rows(marks, ends), library)) is not None:
            return f"the pieces of {found[:40]!r} differ"
    return ""


def differing_ids(library: Any, model: Model, texts: Iterable[str]) -> str:
    """Which text the library gives other ids than the kernels; empty: none."""
    engine = ByteLevelBpe(model=model)
    for batch in _batches(texts):
        ours = chain.from_iterable(rows(ids, ends) for ids, ends in engine.encode(batch))
        if (found := _first_difference(batch, ours, library)) is not None:
            return f"the ids of {found[:40]!r} differ"
    return ""


def piece_texts(points: CodePoints) -> Iterator[str]:
    """Every character between neighbours, two letters behind an apostrophe, short strings of what is told apart."""
    everything = characters()
    for neighbour in _NEIGHBOURS:
        yield from _rows(everything, neighbour)
    telling = [char for char in everything if ord(char) < _PLANES_4_ON or points.classes[ord(char)]]
    for neighbour in _MORE_NEIGHBOURS:
        yield from _rows(telling, neighbour)
    yield from telling
    for first, second, after in product(ascii_letters, ascii_letters, ("", "a")):
        yield f"'{first}{second}{after}"
    for length in range(_DEPTH + 1):
        yield from map("".join, product(_KINDS, repeat=length))


def id_texts(content: Parsed) -> Iterator[str]:
    """The text of each token that is one, alone and in rows; specials; every character; mixtures and long pieces."""
    tokens, everything, choice = _token_texts(content), characters(), random.Random(_SEED)
    specials = [token["content"] for token in content.get("added_tokens") or ()]
    yield from (*tokens, *specials, *_rows(specials, " "))
    choice.shuffle(tokens)
    yield from _rows(tokens, "")
    yield from _rows(everything, "")
    letters = [token for token in tokens if token.isalpha()] or ["a"]
    for _ in range(_MIXTURES):
        parts = [part for parts in (everything, _KINDS, tokens) for part in choice.choices(parts, k=50)]
        choice.shuffle(parts)
        yield "".join(parts)
        yield "".join(choice.choices(letters, k=choice.randrange(300)))
    for part, times in product((*_KINDS, "e", "=", "漢", "\U0001f600", "\0"), (31, 32, 33, 63, 64, 65, 66, 3000)):
        yield part * times


@cache
def code_points() -> CodePoints:
    """What the library takes each character for; asked once a process."""
    return probe(alphabet())


@cache
def _differing_layout(pre_tokenizer: str) -> str:
    """`differing_pieces` by the kernels' own tables, once a process for each layout."""
    parsed, points = json.loads(pre_tokenizer), code_points()
    layout = layout_of({"pre_tokenizer": parsed, "model": {"type": "BPE", "vocab": {}}})
    return differing_pieces(parsed, classes_of(layout, points), byte_flags_of(layout, points), piece_texts(points))


def _showing_cuts(pre_tokenizer: Any) -> Any:
    """A tokenizer of the library whose ids are bytes, more by 256 where they do not begin a piece."""
    from tokenizers import Tokenizer as Engine

    vocab = {
        prefix + symbol: first + i for prefix, first in (("", 0), ("#", 256)) for i, symbol in enumerate(alphabet())
    }
    model = {"type": "BPE", "vocab": vocab, "merges": [], "continuing_subword_prefix": "#"}
    return Engine.from_str(json.dumps({"version": "1.0", "pre_tokenizer": pre_tokenizer, "model": model}))


def _token_texts(content: Parsed) -> list[str]:
    byte_of = {symbol: byte for byte, symbol in enumerate(alphabet())}
    texts = []
    for token in content["model"]["vocab"]:
        try:
            texts.append(bytes(byte_of[symbol] for symbol in token).decode())
        except (KeyError, UnicodeDecodeError):  # no token of this alphabet, or a part of a character
            continue
    return texts


def _rows(parts: Sequence[str], between: str) -> Iterator[str]:
    for first in range(0, len(parts), _BLOCK_CHARS):
        yield between + between.join(parts[first : first + _BLOCK_CHARS]) + between


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(texts)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _first_difference(texts: list[str], ours: Iterable[Any], library: Any) -> str | None:
    theirs = (encoding.ids for encoding in library.encode_batch_fast(texts, add_special_tokens=False))
    for text, a, b in zip(texts, ours, theirs, strict=True):
        if a.tolist() != b:
            return text
    return None


def _verdict(tokenizer: Tokenizer, *, reason: str, points: CodePoints | None = None) -> Verdict:
    return Verdict(
        tokenizer=tokenizer.digest,
        library=library_version(),
        engine=engine_digest(),
        reason=reason,
        ranges=() if reason or points is None else tuple(points.ranges()),
        numeric_bytes=() if reason or points is None else points.numeric_bytes,
    )
