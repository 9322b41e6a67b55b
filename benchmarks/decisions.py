"""What became of each response, by falconmix and by datatrove, and why they differ where they do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters.base_filter import get_filter_result

from peer_words import SpacedWords
from pipeline.models import language_model_file, open_language_model
from pipeline.recipe import Recipe
from pipeline.tools import text_rules
from stages.decide import decide
from stages.extract import tidy
from stages.language import FastText, identify
from texts import text_batch
from warc_sets import PageKey

PEER_STEPS = ("read", "url_filter", "extract", "language_filter", "repetition", "quality")
GOPHER_STEPS = ("repetition", "quality")
BEFORE_TEXT = ("capture", "url_filter", "limits")


@dataclass(frozen=True, kw_only=True)
class Fate:
    """Where a page ended: the step and rule that dropped it, None where it was kept; and its text as known by then."""

    step: str | None
    rule: str | None = None
    text: str = ""
    language: str | None = None

    @property
    def kept(self) -> bool:
        return self.step is None


Fates = dict[PageKey, Fate]
Judge = Callable[[str], Fate]


def ours(output: Path, places: Mapping[tuple[str, int], PageKey]) -> Fates:
    """Fates from a finished run's `work/`, before deduplication."""
    fates: Fates = {}
    for path in sorted((output / "work" / "extracted").glob("*.parquet")):
        columns = ["warc_path", "warc_offset", "verdict_stage", "verdict", "text", "language"]
        for row in pq.read_table(path, columns=columns).to_pylist():
            rule = row["verdict"] and row["verdict"]["rule"]
            key = places[Path(row["warc_path"]).name, row["warc_offset"]]
            fates[key] = Fate(step=row["verdict_stage"], rule=rule, text=row["text"], language=row["language"])
    for path in sorted((output / "work" / "dropped").glob("*.parquet")):
        for row in pq.read_table(path, columns=["warc_path", "warc_offset", "stage", "rule"]).to_pylist():
            fates[places[Path(row["warc_path"]).name, row["warc_offset"]]] = Fate(step=row["stage"], rule=row["rule"])
    return fates


def theirs(notes: Mapping[str, Mapping[str, Any]], places: Mapping[tuple[str, int], PageKey]) -> Fates:
    """Fates from the notes of `peer_datatrove.py`; a response that its reader did not hand on has none there."""
    fates: Fates = {}
    for key in places.values():
        page = notes.get(key[1])
        if page is None:
            fates[key] = Fate(step="read", rule="not_handed_on")
            continue
        passed = PEER_STEPS.index(page["passed"]) + 1
        step = PEER_STEPS[passed] if passed < len(PEER_STEPS) else None
        rule = page.get("reason") or ("no_text" if step == "extract" else None)
        fates[key] = Fate(step=step, rule=rule, text=page.get("text", ""), language=page.get("language"))
    return fates


def compare(own: Fates, other: Fates, judge: Judge, peer_by_spaces: Callable[[str, str], bool]) -> dict[str, Any]:
    """Shares of equal decisions and texts, and the number of different decisions by cause.

    `same_decisions_same_words`: with the peer's Gopher filters asked again, on its own texts with words split at white
    space. `same_decisions_same_texts`: those against our rules on the same texts, of all texts that the peer extracted.
    """
    both = [key for key in own if own[key].kept and other[key].kept]
    different = [key for key in own if own[key].kept != other[key].kept]
    causes = Counter(cause(own[key], other[key], judge, peer_by_spaces) for key in different)
    tidied = {key: tidy(other[key].text) for key in both}
    by_spaces = {key: _kept_by_spaces(fate, peer_by_spaces) for key, fate in other.items()}
    judged = [key for key, fate in other.items() if fate.step in (None, "language_filter", *GOPHER_STEPS)]
    return {
        "responses": len(own),
        "kept_by_both": len(both),
        "kept_by_falconmix_alone": sum(own[key].kept for key in different),
        "kept_by_datatrove_alone": sum(other[key].kept for key in different),
        "same_decisions": 1 - len(different) / max(len(own), 1),
        "same_decisions_same_words": _share(own[key].kept == by_spaces[key] for key in own),
        "same_decisions_same_texts": _share(judge(other[key].text).kept == by_spaces[key] for key in judged),
        "same_text": sum(own[key].text == tidied[key] for key in both) / max(len(both), 1),
        "same_text_untidied": sum(own[key].text == other[key].text for key in both) / max(len(both), 1),
        "causes": dict(causes.most_common()),
    }


def _kept_by_spaces(fate: Fate, peer_by_spaces: Callable[[str, str], bool]) -> bool:
    if fate.step not in (None, *GOPHER_STEPS) or fate.language is None:
        return False
    return peer_by_spaces(fate.text, fate.language)


def _share(equal: Iterable[bool]) -> float:
    answers = list(equal)
    return sum(answers) / max(len(answers), 1)


def cause(own: Fate, other: Fate, judge: Judge, peer_by_spaces: Callable[[str, str], bool]) -> str:
    """Why one side keeps what the other drops, found by giving our rules the other's text.

    `judge` is our decision on a text; `peer_by_spaces` says whether the peer's Gopher filters keep a text of a language
    when its words are split at white space.
    """
    if own.step in BEFORE_TEXT:
        return f"falconmix {own.step}: {own.rule}"
    if other.step in ("read", "url_filter"):
        return f"datatrove {other.step}: {other.rule}"
    if other.step == "extract":
        return "datatrove finds no text"
    on_theirs = judge(other.text)
    if on_theirs.kept == other.kept:
        if own.step in ("visible", "early_language"):
            return f"falconmix gate {own.step}: {own.rule}"
        return "texts differ"
    if "language_filter" in (on_theirs.step, other.step):
        return "language of the same text"
    dropping = other if on_theirs.kept else on_theirs
    if other.language and peer_by_spaces(other.text, other.language) == on_theirs.kept:
        return f"words, {'datatrove' if on_theirs.kept else 'falconmix'} drops by {dropping.rule}"
    return f"rules, {'datatrove' if on_theirs.kept else 'falconmix'} drops by {dropping.rule}"


def text_judge(recipe: Recipe) -> Judge:
    """Our decision on an extracted text, by the recipe's rules on texts."""
    model = FastText(open_language_model(language_model_file(recipe)))
    rules = text_rules(recipe)

    def judge(raw: str) -> Fate:
        text = tidy(raw)
        if not text:
            return Fate(step="extract", rule="no_text")
        language, score = identify(text, model)
        (row,) = decide(text_batch([text], [language], [score]), rules).pages.to_pylist()
        rule = row["verdict"] and row["verdict"]["rule"]
        return Fate(step=row["verdict_stage"], rule=rule, text=text, language=language)

    return judge


def peer_judge(stop_words: Mapping[str, Sequence[str]]) -> Callable[[str, str], bool]:
    """Whether datatrove's Gopher filters keep a text of a language, with words split at white space."""
    words = SpacedWords()
    filters = {
        name: (GopherRepetitionFilter(language=words), GopherQualityFilter(language=words, stop_words=list(listed)))
        for name, listed in stop_words.items()
    }

    def keeps(text: str, language: str) -> bool:
        page = Document(text=text, id="")
        return all(get_filter_result(one.filter(page))[0] for one in filters[language])

    return keeps
