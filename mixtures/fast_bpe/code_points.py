"""What Hugging Face's library takes each character for: asked of the library, so that no Unicode version differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.fast_bpe.byte_pairs import LETTER, NUMBER, PUNCTUATION, SPACE

POINTS: Final = 0x110000


@dataclass(frozen=True, kw_only=True)
class CodePoints:
    """Classes of all code points and of the symbols of bytes."""

    classes: npt.NDArray[np.uint8]
    """[0x110000]: see `byte_pairs.Model`."""
    numeric_bytes: tuple[int, ...]
    """Bytes whose symbols the library takes for numerals: the digits and those of ², ³, ¹, ¼, ½ and ¾."""

    def ranges(self) -> list[tuple[int, int]]:
        """The classes in short: where a new one begins, and which."""
        starts = np.flatnonzero(np.diff(self.classes, prepend=255))
        return [(int(start), int(self.classes[start])) for start in starts]

    @staticmethod
    def of_ranges(ranges: Iterable[Sequence[int]], numeric_bytes: Iterable[int]) -> CodePoints:
        """Undo `ranges`."""
        classes = np.empty(POINTS, np.uint8)
        for (start, of_class), (end, _) in pairwise([*ranges, (POINTS, 0)]):
            classes[start:end] = of_class
        return CodePoints(classes=classes, numeric_bytes=tuple(numeric_bytes))


def characters() -> list[str]:
    """Every code point that can stand in a text: all but the surrogates."""
    return [chr(point) for point in range(POINTS) if not 0xD800 <= point < 0xE000]


def probe(symbols: Sequence[str]) -> CodePoints:
    """Ask the library about every code point, and about the symbols of the 256 bytes.

    A character between two of one kind is of that kind if the three stay one piece.
    """
    from tokenizers import pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    classes = np.full(POINTS, SPACE, np.uint8)
    everything = characters()
    left = everything
    for neighbour, kind in (("!", 0), ("a", LETTER), ("1", NUMBER)):
        stayed = _staying(byte_level, left, neighbour)
        classes[[ord(char) for char, stays in zip(left, stayed, strict=True) if stays]] = kind
        left = [char for char, stays in zip(left, stayed, strict=True) if not stays]
    classes[0xD800:0xE000] = 0
    apart = _staying(pre_tokenizers.Punctuation(behavior="contiguous"), everything, "a")
    classes[[ord(char) for char, stays in zip(everything, apart, strict=True) if not stays]] |= PUNCTUATION
    numerals = _staying(pre_tokenizers.Digits(individual_digits=False), symbols, "a")
    return CodePoints(classes=classes, numeric_bytes=tuple(i for i, stays in enumerate(numerals) if not stays))


def _staying(pre_tokenizer: Any, chars: Sequence[str], neighbour: str) -> list[bool]:
    """Of each character, whether it stays in one piece with `neighbour` before it and after it."""
    pieces = pre_tokenizer.pre_tokenize_str(neighbour + neighbour.join(chars) + neighbour)
    starts = np.zeros(2 * len(chars) + 2, bool)
    starts[[first for _, (first, _) in pieces]] = True
    return [bool(stays) for stays in ~(starts[1:-1:2] | starts[2::2])]
