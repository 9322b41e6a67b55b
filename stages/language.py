"""Language identification: fastText's `lid.176` over a text's beginning, and the rule that keeps eleven languages.

RefinedWeb (arXiv 2306.01116, section 3.1) keeps a document whose top language scores at least 0.65, following CCNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from stages.verdicts import Verdict, with_verdicts

ELEVEN = ("en", "cs", "de", "es", "fr", "it", "nl", "pl", "pt", "ro", "sv")
"""English and the ten languages of RefinedWeb-Europe, ISO 639-1."""

MAX_CHARS = 5_000
"""Characters looked at: on 1,469 real pages the filter decides as it does on twice as many."""

_LABEL = "__label__"
_FIRST_LATIN_BEYOND_ASCII, _END_OF_LATIN = 0xC0, 0x250  # À … ɏ: Latin-1 letters, Latin Extended-A and B
# fastText reads one line; it splits words at these, so each may stand for the other without changing the features.
_ONE_LINE = str.maketrans({"\n": " ", "\r": " ", "\0": " "})


class LanguageModel(Protocol):
    """Anything that ranks the languages of a text."""

    def predict(self, text: str, k: int) -> list[tuple[str, float]]:
        """Return the `k` likeliest languages of `text`, best first, with probabilities; takes any characters."""
        ...


class FastText:
    """An opened fastText language model (`fasttext.load_model("lid.176.ftz")`) as a `LanguageModel`.

    Case is kept: the model was trained on text as written.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, text: str, k: int) -> list[tuple[str, float]]:
        """See `LanguageModel.predict`; only the first `MAX_CHARS` characters are looked at, and blank text gives []."""
        line = text[:MAX_CHARS].translate(_ONE_LINE).encode("utf-8", "replace").decode("utf-8").strip()
        if not line:
            return []  # the model answers nothing with its priors: English
        labels, scores = self._model.predict(line, k=k)
        # The softmax is computed in float32 through a table: sums pass 1 by a few 1e-5.
        bounded: list[float] = np.minimum(scores, 1.0).tolist()
        return [(label.removeprefix(_LABEL), score) for label, score in zip(labels, bounded, strict=True)]


@dataclass(frozen=True, kw_only=True)
class LanguageRules:
    """Which languages are kept (as the model names them: ISO 639-1), and from which score on."""

    languages: tuple[str, ...] = ELEVEN
    min_score: float = 0.65


def identify(text: str, model: LanguageModel) -> tuple[str, float]:
    """Return the likeliest language of `text` and its probability; ("", 0.0) for blank text."""
    ranking = model.predict(text, 1)
    return ranking[0] if ranking else ("", 0.0)


def latin_share(text: str) -> float:
    """Share of Latin letters among the characters of `text` that are no ASCII signs, digits or spaces; 1 for none."""
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    ascii_letters = ((codes | 32) >= ord("a")) & ((codes | 32) <= ord("z"))
    beyond = codes >= _FIRST_LATIN_BEYOND_ASCII
    n = int(ascii_letters.sum()) + int(beyond.sum())
    latin = int(ascii_letters.sum()) + int((beyond & (codes < _END_OF_LATIN)).sum())
    return latin / n if n else 1.0


def _judge(language: str | None, score: float | None, rules: LanguageRules) -> Verdict | None:
    if language not in rules.languages:
        return Verdict("unwanted_language", score, detail=language)
    if score is None or np.float32(score) < np.float32(rules.min_score):  # the column is float32
        return Verdict("low_score", score, rules.min_score, language)
    return None


def filter_language(batch: pa.RecordBatch, rules: LanguageRules) -> pa.RecordBatch:
    """Return `batch` with the column `language_filter`, judged by its columns `language` and `language_score`.

    Rules: `unwanted_language` (value: the score, detail: the language), `low_score` (detail: the language).
    """
    languages, scores = batch.column("language").to_pylist(), batch.column("language_score").to_pylist()
    verdicts = [_judge(language, score, rules) for language, score in zip(languages, scores, strict=True)]
    return with_verdicts(batch, "language_filter", verdicts)
