"""C4's cleaning: lines that are no prose go, and pages that are placeholders, code or too short are dropped.

Raffel et al. 2020, arXiv 1910.10683, section 2.2, and the code that made the data set (`c4_utils.py` of TensorFlow
Datasets). A line goes where a word in it is longer than any word, where it does not end in an end mark (nor where it
ends in "..."), where it has too few words, or where it speaks of JavaScript or of cookies and terms. A page goes where
one of its other lines holds "lorem ipsum" or a curly bracket, and where too few sentences are left.

Two editions of the paper differ: lines of at least 3 words and pages of at least 5 sentences in the earlier, which
datatrove and so FineWeb follow; 5 and 3 in the later one and in the code, which are the defaults here. Lines are those
of `str.splitlines`, stripped; the words of a line are counted with its citations, as datatrove does. The phrases are
English: `stages/data/c4_phrases.yaml`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from stages.segment import sentence_marks
from stages.verdicts import Verdict

LINE_RULES = ("long_word", "no_end_mark", "few_words", "javascript", "policy")
"""Rules under which a line goes; the first that applies names it."""
PAGE_RULES = ("lorem_ipsum", "curly_bracket", "too_few_sentences", "emptied")

_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_ELLIPSIS = "..."
_CLOSING = "\"'”’»)]"


@dataclass(frozen=True, kw_only=True)
class C4Rules:
    """Settings; the defaults are those of the code that made C4.

    end_marks: what a line may end in; null lets it end as it likes (FineWeb). min_words, max_word_chars: of a line.
    min_sentences: of what is left of a page. citations: whether "[1]", "[edit]" and "[citation needed]" are cut.
    """

    end_marks: str | None = '.?!"'
    min_words: int = 5
    max_word_chars: int = 1000
    min_sentences: int = 3
    citations: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Cleaned:
    """Texts after cleaning, with what was done; one entry per text in each.

    A dropped text has a verdict and is null. `lines`: lines that went, by rule: int64[n_texts].
    """

    text: pa.Array
    verdicts: tuple[Verdict | None, ...]
    lines: Mapping[str, NDArray[np.int64]]


class _Page(NamedTuple):
    text: str | None
    verdict: Verdict | None
    lines: Counter[str]


def clean(text: pa.Array, rules: C4Rules = C4Rules()) -> Cleaned:
    """Clean each text of a string array; a null stays null and has no verdict."""
    nothing = _Page(None, None, Counter())
    pages = [nothing if one is None else _clean(one, rules) for one in text.to_pylist()]
    return Cleaned(
        text=pa.array([page.text for page in pages], text.type),
        verdicts=tuple(page.verdict for page in pages),
        lines={rule: np.array([page.lines[rule] for page in pages], np.int64) for rule in LINE_RULES},
    )


def sentences(line: str) -> list[str]:
    """The sentences of a line, white space between words as one space.

    A sentence ends with a word that ends in a mark (`stages.segment.sentence_marks`, or "…"), closing quotation marks
    and brackets aside, unless the next word begins with a lower-case letter; what is left at the end is one more.
    """
    words = line.split()
    marks = _final_marks()
    ends = [
        i + 1
        for i, word in enumerate(words)
        if word.rstrip(_CLOSING)[-1:] in marks and not (i + 1 < len(words) and words[i + 1][0].islower())
    ]
    bounds = [0, *ends, len(words)]
    return [" ".join(words[start:end]) for start, end in pairwise(bounds) if start < end]


def _clean(text: str, rules: C4Rules) -> _Page:
    kept: list[str] = []
    lines: Counter[str] = Counter()
    n_sentences = 0
    for line in filter(None, map(str.strip, text.splitlines())):
        n_words = len(words := line.split())
        left = _CITATION.sub("", line) if rules.citations else line
        folded = left.lower()
        if len(line) > rules.max_word_chars and any(len(word) > rules.max_word_chars for word in words):
            lines["long_word"] += 1
        elif rules.end_marks is not None and not _ends_well(left, rules.end_marks):
            lines["no_end_mark"] += 1
        elif n_words < rules.min_words:
            lines["few_words"] += 1
        elif _holds("lorem_ipsum", folded):
            return _Page(None, Verdict("lorem_ipsum"), lines)
        elif _holds("javascript", folded):
            lines["javascript"] += 1
        elif _holds("curly_bracket", folded):
            return _Page(None, Verdict("curly_bracket"), lines)
        elif _holds("policy", folded):
            lines["policy"] += 1
        else:
            kept.append(left)
            if n_sentences < rules.min_sentences:  # seeking sentences costs more than all the rest
                n_sentences += len(sentences(left))
    if n_sentences < rules.min_sentences:
        return _Page(None, Verdict("too_few_sentences", n_sentences, rules.min_sentences), lines)
    whole = "\n".join(kept).strip()
    return _Page(whole, None, lines) if whole else _Page(None, Verdict("emptied", 0, 1), lines)


def _ends_well(line: str, end_marks: str) -> bool:
    return line.endswith(tuple(end_marks)) and not line.endswith(_ELLIPSIS)


def _holds(rule: str, folded: str) -> bool:
    return any(phrase in folded for phrase in _phrases()[rule])


@cache
def _phrases() -> Mapping[str, Sequence[str]]:
    """What each rule looks for, in lower case."""
    text = resources.files("stages").joinpath("data/c4_phrases.yaml").read_text(encoding="utf-8")
    phrases: Mapping[str, Sequence[str]] = yaml.safe_load(text)
    return phrases


@cache
def _final_marks() -> frozenset[str]:
    return frozenset(sentence_marks() + "…")
