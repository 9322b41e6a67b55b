"""What counts as a word in exact-substring search: a shingle word, or a token of a tokenizer that the recipe names."""

from __future__ import annotations

import functools
import hashlib
import importlib
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.recipe import is_tokenizer_file
from stages.substrings import SubstringRules
from stages.windows import Split, Words, words_from, words_of

BATCH_TEXTS = 256


def split_of(rules: SubstringRules) -> Split:
    """The words of these rules."""
    return words_of if rules.tokenizer is None else tokens_of(rules.tokenizer)


def tokenizer_digest(rules: SubstringRules) -> str | None:
    """Digest of the tokenizer that the rules name, as 32 hex digits; None where they name none."""
    if rules.tokenizer is None:
        return None
    return hashlib.blake2b(_open(rules.tokenizer).to_str().encode(), digest_size=16).hexdigest()


def tokens_of(name_or_file: str) -> Split:
    """Tokens as words: of a `tokenizer.json`, or of the tokenizer that a model hub has under that name.

    Raises UsageError where there is none, or where the package that reads it is missing.
    """
    tokenizer = _open(name_or_file)

    def split(text: pa.Array) -> Words:
        return _tokens(tokenizer, text)

    return split


@functools.cache
def _open(name_or_file: str) -> Any:
    try:
        tokenizers = importlib.import_module("tokenizers")
    except ImportError as error:
        raise UsageError("substrings.tokenizer: needs the package `tokenizers`; install it, or leave it out") from error
    try:
        if is_tokenizer_file(name_or_file):
            return tokenizers.Tokenizer.from_file(name_or_file)
        return tokenizers.Tokenizer.from_pretrained(name_or_file)
    except Exception as error:  # the library raises bare Exception
        raise UsageError(
            f"substrings.tokenizer: {name_or_file}: no tokenizer ({error}); name a file or one of a model hub"
        ) from error


def _tokens(tokenizer: Any, text: pa.Array) -> Words:
    """Tokens with the bytes that they stand on."""
    keys, starts, ends, counts = [], [], [], [0]
    for begin in range(0, len(text), BATCH_TEXTS):
        batch = ["" if value is None else value for value in text.slice(begin, BATCH_TEXTS).to_pylist()]
        for value, encoded in zip(batch, tokenizer.encode_batch(batch, add_special_tokens=False), strict=True):
            offsets = np.array(encoded.offsets, np.int64).reshape(-1, 2)
            to_byte = _byte_of_character(value)
            keys.append(np.array(encoded.ids, np.uint64))
            starts.append(to_byte[offsets[:, 0]])
            ends.append(to_byte[offsets[:, 1]])
            counts.append(len(encoded.ids))
    none = np.empty(0, np.int64)
    return words_from(
        text,
        np.concatenate([none.astype(np.uint64), *keys]),
        np.concatenate([none, *starts]),
        np.concatenate([none, *ends]),
        np.cumsum(counts).astype(np.int64),
    )


def _byte_of_character(text: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Byte at which each character begins, and the byte after the last."""
    code_points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (code_points >= 0x80).astype(np.int64) + (code_points >= 0x800) + (code_points >= 0x10000)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
