"""What a tokenizer.json says: whether the kernels of `byte_pairs` do all of it, which bytes its tokens hold.

The kernels do Falcon's layout and GPT-2's: `ByteLevel`, before it `Punctuation` or nothing, after it `Digits`, a split
into three digits, both or neither; then BPE without any of its options. `UnsuitedError` says what else a
tokenizer has. That the ids are those of Hugging Face's library is another matter: see `equality`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Parsed = Mapping[str, Any]

_THREE_DIGITS: Final = ("[0-9][0-9][0-9]", "[0-9]{3}")
_BYTES_OF_TEXT: Final = (*range(0xC0), *range(0xC2, 0xF5))
"""Bytes that UTF-8 has."""


class UnsuitedError(Exception):
    """The kernels do not do what this tokenizer does; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which pre-tokenisers stand around `ByteLevel`."""

    punctuation: bool
    digits: bool
    three_digits: bool


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Which bytes of a text the tokens of a byte-level BPE hold: each those of its symbols, one after another."""

    token_bytes: npt.NDArray[np.int32]
    """[vocabulary]: bytes that each id stands for."""
    has_token: npt.NDArray[np.bool_]
    """[256]: whether the byte has a token; one that has none is dropped where it stands."""

    @property
    def dropped_bytes(self) -> tuple[int, ...]:
        """Bytes of UTF-8 that are dropped."""
        return tuple(byte for byte in _BYTES_OF_TEXT if not self.has_token[byte])


def layout_of(content: Parsed) -> Layout:
    """Layout of a parsed tokenizer.json. Raises UnsuitedError."""
    if content.get("normalizer") is not None:
        raise UnsuitedError(f"a normalizer ({content['normalizer'].get('type')})")
    _check_added(content)
    _check_model(content["model"])
    steps = _steps(content)
    punctuation = _take(steps, {"type": "Punctuation", "behavior": "Contiguous"})
    _take_byte_level(steps)
    digits = _take(steps, {"type": "Digits", "individual_digits": False})
    three_digits = any(_take(steps, _isolated(expression)) for expression in _THREE_DIGITS)
    if steps:
        raise UnsuitedError(f"another pre-tokenizer, or one in another place ({steps[0]})")
    return Layout(punctuation=punctuation, digits=digits, three_digits=three_digits)


def coverage_of(content: Parsed) -> Coverage | None:
    """Which bytes its tokens hold; None for a tokenizer of which that cannot be said from the file."""
    try:
        if content.get("normalizer") is not None:
            return None
        _check_added(content)
        _check_model(content["model"] | {"dropout": None, "ignore_merges": False})  # these leave all bytes in order
    except UnsuitedError:
        return None
    steps = _steps(content)
    kinds = [step["type"] for step in steps]
    if kinds.count("ByteLevel") != 1 or not {*kinds} <= {"ByteLevel", "Punctuation", "Digits", "Split"}:
        return None
    if any(step.get("add_prefix_space") or step.get("behavior") == "Removed" for step in steps):
        return None
    vocab: Mapping[str, int] = content["model"]["vocab"]
    has_token = np.array([symbol in vocab for symbol in alphabet()])
    return Coverage(token_bytes=symbols_of(content), has_token=has_token)


def symbols_of(content: Parsed) -> npt.NDArray[np.int32]:
    """[vocabulary]: how many symbols each id of the model stands for; 0 for ids that are not the model's."""
    vocab: Mapping[str, int] = content["model"]["vocab"]
    added = [token["id"] for token in content.get("added_tokens") or ()]
    symbols = np.zeros(max([*vocab.values(), *added], default=-1) + 1, np.int32)
    symbols[list(vocab.values())] = [len(token) for token in vocab]
    return symbols


def alphabet() -> list[str]:
    """The symbol of each byte: printable ones of Latin-1 stand for themselves, the others follow from U+0100 on."""
    kept = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def merges_of(content: Parsed) -> list[tuple[str, str]]:
    """Pairs of tokens in order of rank, whichever way the file writes them."""
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in content["model"]["merges"])
    return [(left, right) for left, right in pairs]


def _check_added(content: Parsed) -> None:
    for token in content.get("added_tokens") or ():
        if not token["special"]:
            raise UnsuitedError(f"an added token that is not special ({token['content']!r})")


def _check_model(model: Parsed) -> None:
    if model.get("type") != "BPE":
        raise UnsuitedError(f"a model of another kind ({model.get('type')})")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(option):
            raise UnsuitedError(f"BPE with {option}")
    if len(set(model["vocab"].values())) < len(model["vocab"]):
        raise UnsuitedError("two tokens with one id")
    if model.get("unk_token") is not None and any(symbol not in model["vocab"] for symbol in alphabet()):
        raise UnsuitedError("an unknown token, and bytes without a token of their own")


def _steps(content: Parsed) -> list[Parsed]:
    pre_tokenizer = content.get("pre_tokenizer") or {"type": "Sequence", "pretokenizers": []}
    return list(pre_tokenizer["pretokenizers"]) if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


def _take(steps: list[Parsed], step: Parsed) -> bool:
    """Whether the first of `steps` is this one; it is taken off."""
    if steps and steps[0] == step:
        del steps[0]
        return True
    return False


def _take_byte_level(steps: list[Parsed]) -> None:
    step = steps.pop(0) if steps else {"type": "none"}
    if step["type"] != "ByteLevel":
        raise UnsuitedError(f"another pre-tokenizer, or one in another place ({step})")
    if step.get("add_prefix_space", True):
        raise UnsuitedError("ByteLevel with add_prefix_space")
    if not step.get("use_regex", True):
        raise UnsuitedError("ByteLevel without its expression")


def _isolated(expression: str) -> Parsed:
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
