"""Stop words per language, as hash tables that the signals kernel reads.

A stop word must be one shingle word (`stages.segment`), because that is what texts are searched for: the French
article of "l'homme" is the stop word "l".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from stages.segment import Hashes, word_hashes

SLOTS = 256
_MAX_WORDS = SLOTS // 2

ListName = Literal["wordfreq", "fineweb2"]
_FILES: dict[ListName, str] = {"wordfreq": "stop_words.yaml", "fineweb2": "stop_words_fineweb2.yaml"}


class StopWordError(ValueError):
    """A stop-word list that cannot be used; the message names the language and the word."""


class StopTable(NamedTuple):
    """One row per language: an open-addressed table of word hashes, uint64[n_languages, SLOTS], 0 where empty."""

    slots: Hashes


@dataclass(frozen=True, kw_only=True, eq=False)
class StopWords:
    """Stop words of some languages; `table` row i belongs to `languages[i]`."""

    languages: tuple[str, ...]
    table: StopTable

    @classmethod
    def from_lists(cls, lists: Mapping[str, Sequence[str]]) -> StopWords:
        """Build the tables; case does not matter, repeated words count once.

        Raises StopWordError for an empty or overlong list and for an entry that is not exactly one shingle word.
        """
        rows = [_slots(language, words) for language, words in lists.items()]
        slots = np.stack(rows) if rows else np.zeros((0, SLOTS), np.uint64)
        return cls(languages=tuple(lists), table=StopTable(slots))

    def rows_of(self, language: pa.Array[Any]) -> NDArray[np.int64]:
        """Table row for each row of a language column, -1 where the language is null or has no list."""
        index = {name: row for row, name in enumerate(self.languages)}
        encoded = language.dictionary_encode()
        row_of_code = np.array([index.get(str(name), -1) for name in encoded.dictionary.to_pylist()] + [-1], np.int64)
        codes = encoded.indices.fill_null(len(row_of_code) - 1).to_numpy(zero_copy_only=False)
        rows: NDArray[np.int64] = row_of_code[codes]
        return rows


@cache
def load_stop_words(name: ListName = "wordfreq") -> StopWords:
    """The lists for the eleven languages: the project's own, from word frequencies, or FineWeb2's."""
    file = resources.files("stages").joinpath(f"data/{_FILES[name]}")
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    return StopWords.from_lists({language: words.split() for language, words in raw.items()})


def _slots(language: str, words: Sequence[str]) -> Hashes:
    hashes, offsets = word_hashes(pa.array(list(words), pa.string()), fold_case=True)
    for word, n in zip(words, np.diff(offsets), strict=True):
        if n != 1:
            raise StopWordError(f"stop words of {language!r}: {word!r} is {n} words; write each word as an entry")
    distinct = np.unique(hashes)
    if not 0 < distinct.size <= _MAX_WORDS:
        raise StopWordError(f"stop words of {language!r}: {distinct.size} words; give 1 to {_MAX_WORDS}")
    slots = np.zeros(SLOTS, np.uint64)
    for value in distinct:
        slot = int(value) % SLOTS
        while slots[slot]:
            slot = (slot + 1) % SLOTS
        slots[slot] = value
    return slots
