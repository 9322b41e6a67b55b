"""A second opinion on a text's language, from its words: where the model is unsure, and between close languages.

fastText's `lid.176` has seen little Romanian and Czech written without diacritics, which much of their web is: it
scores them 0.2 to 0.6, and the rule of 0.65 throws them away. And it takes Galician for Portuguese or Spanish, Catalan
for Spanish, Slovak for Czech. Common words tell these apart, so the model's probabilities serve as the prior of a naive
Bayes classifier over words:

    P(language | text)  ∝  (P_model(language) + least) · Π over distinct words w of (P(w | language) + rare) ^ weight

- P(w | language) comes from the 2,000 commonest words of 29 languages (`stages/data/language_words.txt`), and allows
  for texts without diacritics: a share `unmarked` of each word's frequency goes to its folded form.
- A word that no list has says nothing, and a text of such words alone keeps the model's probabilities.
- Languages without a list stay in the running, all together, as one that has every list's words in equal parts; where
  that one is the likeliest, the model's answer stands.
- Words are counted once: a menu or a refrain is no more evidence than its first line.

Where the model's likeliest language stays the likeliest and the model is sure of it, its answer stands as it is.
What the settings below were chosen on, `benchmarks/langid.py` says.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.language import LanguageModel

DecidedBy = Literal["model", "words"]

MODEL_NAMES = {"nb": ("no",), "sh": ("hr", "sr", "bs", "sh"), "fil": ("tl",)}
"""What the model calls a list's language, where it has other names or several for it."""

_ALL_LANGUAGES = 200  # the model knows 176
_WORD = re.compile(r"[^\W\d_]+")
# Letters that Unicode does not take apart, and what people without such a keyboard write.
_FOLDED = str.maketrans({"ł": "l", "đ": "d", "ø": "o", "ı": "i", "ß": "ss", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"})


class Identified(NamedTuple):
    """A text's language, its probability, and which opinion that is; ("", 0.0, "model") for blank text."""

    language: str
    score: float
    decided_by: DecidedBy


@dataclass(frozen=True, kw_only=True)
class OpinionRules:
    """Settings of the second opinion; the formula is in the module's docstring."""

    sure: float = 0.65
    """Probability from which on the model needs no second opinion to agree with it."""
    weight: float = 0.4
    """Below 1, as words of one text are not independent."""
    least: float = 1e-3
    """Added to the model's probabilities: it can be wrong where it is certain."""
    rare: float = 3e-7
    """Frequency of a word that a list does not have."""
    unmarked: float = 0.25
    """Share of texts taken to be written without diacritics."""
    max_chars: int = 2000
    """Characters looked at: on 865 real texts the answer is that of 5,000 (at 1,000, all but one)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WordEvidence:
    """Word lists as one table: row `rows[w]` of `log_odds` belongs to word w, column i to language i.

    `log_odds`: float32[n_words, n_languages + 1], log P(w | language) / rare; last column: a language without a list.
    `columns`: the column of each of the model's names that has a list.
    """

    languages: tuple[str, ...]
    columns: Mapping[str, int]
    rows: Mapping[str, int]
    log_odds: NDArray[np.float32]
    rules: OpinionRules

    @classmethod
    def from_lists(cls, lists: Mapping[str, Mapping[str, float]], rules: OpinionRules) -> WordEvidence:
        """Build the table from each language's words (lower case) with their frequencies, of all words."""
        languages = tuple(sorted(lists))
        rows: dict[str, int] = defaultdict(lambda: len(rows))
        entries = [
            (rows[form], column, share * frequency)
            for column, language in enumerate(languages)
            for word, frequency in lists[language].items()
            for form, share in ((word, 1 - rules.unmarked), (fold(word), rules.unmarked))
        ]
        frequencies = np.zeros((len(rows), len(languages)))
        if entries:
            at_row, at_column, amounts = zip(*entries, strict=True)
            np.add.at(frequencies, (np.array(at_row), np.array(at_column)), np.array(amounts))
        table = frequencies / rules.rare + 1
        odds = np.concatenate([table, table.mean(axis=1, keepdims=True)], axis=1)
        names = {name: i for i, language in enumerate(languages) for name in MODEL_NAMES.get(language, (language,))}
        return cls(
            languages=languages, columns=names, rows=dict(rows), log_odds=np.log(odds).astype(np.float32), rules=rules
        )

    def of(self, text: str) -> NDArray[np.float64]:
        """Log-odds that the distinct words of `text` give each language, float64[n_languages + 1]."""
        words = dict.fromkeys(_WORD.findall(text.lower()))
        rows = [row for word in words if (row := self.rows.get(word)) is not None]
        total: NDArray[np.float64] = self.log_odds[rows].sum(axis=0, dtype=np.float64)
        return total


@cache
def load_word_evidence(rules: OpinionRules = OpinionRules()) -> WordEvidence:
    """The project's own lists, `stages/data/language_words.txt`."""
    text = resources.files("stages").joinpath("data/language_words.txt").read_text(encoding="utf-8")
    lists: dict[str, dict[str, float]] = defaultdict(dict)
    for line in text.splitlines():
        if not line.startswith("#"):
            language, tenths, *words = line.split()
            lists[language].update(dict.fromkeys(words, 10 ** (-int(tenths) / 10)))
    return WordEvidence.from_lists(lists, rules)


def fold(word: str) -> str:
    """A lower-case word as written without diacritics."""
    if word.isascii():
        return word
    taken_apart = unicodedata.normalize("NFD", word.translate(_FOLDED))
    return "".join(char for char in taken_apart if not unicodedata.combining(char))


def identify_with_words(text: str, model: LanguageModel, evidence: WordEvidence) -> Identified:
    """Return the likeliest language of `text` by the model and the words together.

    The score is the model's probability where the model decided, else that of the formula above.
    """
    beginning = text[: evidence.rules.max_chars]
    ranking = model.predict(beginning, _ALL_LANGUAGES)
    if not ranking:
        return Identified("", 0.0, "model")
    (top, score), sure = ranking[0], evidence.rules.sure
    by_model = Identified(top, score, "model")
    if score >= sure and top not in evidence.columns:
        return by_model
    found = _together(ranking, evidence.of(beginning), evidence)
    if found is None or (found[0] == top and score >= min(sure, found[1])):
        return by_model
    return Identified(*found, "words")


def _together(
    ranking: list[tuple[str, float]], log_odds: NDArray[np.float64], evidence: WordEvidence
) -> tuple[str, float] | None:
    """The likeliest language by prior and words, under the name that the model likes best, and its probability.

    None where that is one without a list: which one, words cannot say.
    """
    prior = np.zeros(len(log_odds))
    best_name: dict[int, str] = {}
    for name, score in ranking:
        column = evidence.columns.get(name, len(evidence.languages))
        prior[column] += score
        best_name.setdefault(column, name)
    prior[-1] += max(0.0, 1 - prior.sum())  # of languages that the model left out
    logs = np.log(prior + evidence.rules.least) + evidence.rules.weight * log_odds
    shares = np.exp(logs - logs.max())
    column = int(shares.argmax())
    if column == len(evidence.languages):
        return None
    name = best_name.get(column) or MODEL_NAMES.get(evidence.languages[column], evidence.languages[column:])[0]
    return name, float(shares[column] / shares.sum())
