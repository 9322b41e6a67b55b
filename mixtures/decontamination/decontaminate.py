"""Decontamination: documents that share n-grams of words with evaluation sets are dropped, or masked in the loss.

    settings = plan_decontamination([Path("mmlu.parquet")], on_hit="drop")    once; its fingerprint is part of a job's
    decontaminator = open_decontaminator(settings)                            in each process
    verdicts = decontaminator.check(ids, texts)                               for each document None, or what was found
    write_hits(hits_path(output), verdicts)                                   `hits`

What is compared is said in `plain_words` and `ngrams`. The source is GPT-3 (arXiv 2005.14165, appendix C): 13 words,
items of 8 words at least, and whole documents removed, as it did first; cutting out 200 characters on either side, as
it did later, would shift the tokens behind. GPT-3 also passed over n-grams of more than ten training documents. That
depends on all documents at once, where a shard has to be what its own documents make it: it is left out, and the
records tell which n-grams are common.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import numpy as np

from mixtures.decontamination.evaluation_sets import Item, file_digest, read_items
from mixtures.decontamination.hits import Passage, Verdict
from mixtures.decontamination.ngrams import Hits, NgramIndex, find_ngrams, index_ngrams
from mixtures.decontamination.plain_words import Words, nfc, split_words
from mixtures.errors import InputError

NGRAM: Final = 13
LEAST: Final = 8
"""Words of the shortest item that is looked for, GPT-3's least n."""
_RULES: Final = 1
"""Version of what is compared and how; counted up where the same files may find something else."""

OnHit = Literal["drop", "mask"]


@dataclass(frozen=True, kw_only=True)
class EvaluationFile:
    """A file of evaluation items, and what it held when it was named."""

    path: Path
    digest: str

    @property
    def name(self) -> str:
        """What records call it: the file's name, wherever it lies."""
        return self.path.name


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """What is looked for and what follows; make one with `plan_decontamination`. Can be sent to another process."""

    files: tuple[EvaluationFile, ...]
    columns: tuple[str, ...]
    """Columns that text is taken from, as far as a file has them; none: all."""
    ngram: int
    least: int
    """Items of fewer words than `ngram` are looked for as a whole, down to this many words."""
    min_hits: int
    """Documents with fewer hits are kept (and recorded)."""
    on_hit: OnHit

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.ngram:
            raise InputError(f"n-grams of {self.ngram} words, {self.least} at least: give 1 ≤ least ≤ n")
        if self.min_hits < 1:
            raise InputError(f"min_hits: {self.min_hits} must be at least 1")
        names = [file.name for file in self.files]
        if not names:
            raise InputError("no evaluation file to decontaminate against; give at least one")
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{name}: two evaluation files have this name; rename one, records go by it")

    def fingerprint(self) -> str:
        """BLAKE2b-128, as hex digits, of all that decides what is found and what follows."""
        files = [(file.name, file.digest) for file in self.files]
        rules = (_RULES, unicodedata.unidata_version, self.columns, self.ngram, self.least, self.min_hits, self.on_hit)
        return hashlib.blake2b(json.dumps([files, rules]).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """How much of an evaluation file can be looked for."""

    file: str
    items: int
    unusable: tuple[int, ...]
    """Numbers of the items that are too short."""


def plan_decontamination(
    paths: Sequence[Path],
    *,
    columns: Sequence[str] = (),
    ngram: int = NGRAM,
    least: int | None = None,
    min_hits: int = 1,
    on_hit: OnHit = "drop",
) -> Decontamination:
    """Settings for the files as they are now; `least` is 8, or `ngram` where that is less. Raises InputError."""
    files = tuple(EvaluationFile(path=path.absolute(), digest=file_digest(path)) for path in paths)
    return Decontamination(
        files=files,
        columns=tuple(columns),
        ngram=ngram,
        least=min(LEAST, ngram) if least is None else least,
        min_hits=min_hits,
        on_hit=on_hit,
    )


class Decontaminator:
    """Evaluation sets, indexed; see `open_decontaminator`."""

    def __init__(self, settings: Decontamination, sets: Sequence[Sequence[Item]]) -> None:
        self.settings = settings
        self._items = [
            (file.name, item.number) for file, items in zip(settings.files, sets, strict=True) for item in items
        ]
        texts = [item.passages for items in sets for item in items]
        passages, owners = _usable(texts, settings.least)
        self._index: NgramIndex = index_ngrams(passages, owners, settings.ngram, settings.least)
        self.coverage = _coverage(settings, self._items, set(owners))

    def check(self, ids: Sequence[str], texts: Sequence[str]) -> list[Verdict | None]:
        """For each document what was found in it, or None. The same for a document whatever it is checked with."""
        words = split_words(texts)
        hits = find_ngrams(self._index, words)
        verdicts: list[Verdict | None] = [None] * len(texts)
        for document in np.flatnonzero(np.diff(hits.hit_at)).tolist():
            verdicts[document] = self._verdict(ids[document], texts[document], document, words, hits)
        return verdicts

    def _verdict(self, document_id: str, text: str, document: int, words: Words, hits: Hits) -> Verdict:
        n_hits = int(hits.hit_at[document + 1] - hits.hit_at[document])
        n_words = int(words.text_at[document + 1] - words.text_at[document])
        return Verdict(
            id=document_id,
            action=self.settings.on_hit if n_hits >= self.settings.min_hits else "keep",
            hits=n_hits,
            ngrams=n_words - int(self._index.lengths[-1]) + 1,
            passages=tuple(self._passages(text, document, words, hits)),
        )

    def _passages(self, text: str, document: int, words: Words, hits: Hits) -> Iterator[Passage]:
        """Stretches of hits of one item, in the order of the text."""
        first = int(hits.hit_at[document])
        while first < hits.hit_at[document + 1]:
            end, last_word = first, -1
            item = self._index.item[hits.ngram[first]]
            while (
                end < hits.hit_at[document + 1]
                and self._index.item[hits.ngram[end]] == item
                and (end == first or hits.word[end] <= last_word + 1)
            ):
                last_word = max(last_word, int(hits.word[end] + self._index.length[hits.ngram[end]]) - 1)
                end += 1
            yield self._passage(text, words, hits, (first, end), last_word)
            first = end

    def _passage(self, text: str, words: Words, hits: Hits, of: tuple[int, int], last_word: int) -> Passage:
        ngram = int(hits.ngram[of[0]])
        file, item = self._items[int(self._index.item[ngram])]
        start, end = _bytes(text, int(words.first[hits.word[of[0]]]), int(words.end[last_word]))
        return Passage(
            file=file,
            item=item,
            items=int(self._index.items[ngram]),
            start=start,
            end=end,
            hits=of[1] - of[0],
            ngram=self._index.text(ngram),
        )


@lru_cache(maxsize=1)
def open_decontaminator(settings: Decontamination) -> Decontaminator:
    """Read and index the evaluation files; once a process for the same settings.

    Raises InputError for a file that is damaged or has changed, and for one none of whose items can be looked for.
    """
    sets = []
    for file in settings.files:
        if file_digest(file.path) != file.digest:
            raise InputError(f"{file.path}: changed since the work was planned; start it again")
        sets.append(read_items(file.path, settings.columns))
    opened = Decontaminator(settings, sets)
    for file, covered in zip(settings.files, opened.coverage, strict=True):
        if len(covered.unusable) == covered.items:
            raise InputError(
                f"{file.path}: none of its {covered.items:,} items has {settings.least} words; leave the file out, or "
                "allow shorter ones (--least)"
            )
    return opened


def _usable(items: Sequence[tuple[str, ...]], least: int) -> tuple[list[str], list[int]]:
    """Passages with the numbers of their items: those long enough, or all of an item as one where none is."""
    flat = [(number, passage) for number, passages in enumerate(items) for passage in passages]
    counts = split_words([passage for _, passage in flat]).counts()
    found = [one for one, count in zip(flat, counts, strict=True) if count >= least]
    left = sorted(set(range(len(items))) - {number for number, _ in found})
    joined = [(number, " ".join(items[number])) for number in left]
    counts = split_words([passage for _, passage in joined]).counts()
    found += [one for one, count in zip(joined, counts, strict=True) if count >= least]
    found.sort(key=lambda one: one[0])  # stable: the passages of an item keep their order
    return [passage for _, passage in found], [number for number, _ in found]


def _coverage(settings: Decontamination, items: Sequence[tuple[str, int]], usable: set[int]) -> tuple[Coverage, ...]:
    unusable: dict[str, list[int]] = {file.name: [] for file in settings.files}
    totals = dict.fromkeys(unusable, 0)
    for place, (name, number) in enumerate(items):
        totals[name] += 1
        if place not in usable:
            unusable[name].append(number)
    return tuple(Coverage(file=name, items=totals[name], unusable=tuple(unusable[name])) for name in totals)


def _bytes(text: str, first: int, end: int) -> tuple[int, int]:
    """Where characters `first` to `end` of the text's NFC stand in the text itself, in bytes.

    Composing changes the number of characters, and never that of the runs without white space.
    """
    composed = nfc(text)
    if composed is not text:
        before, within = len(composed[:first].split()), len(composed[first:end].split())
        runs = list(islice(re.finditer(r"\S+", text), before, before + within))
        first, end = runs[0].start(), runs[-1].end()
    start = len(text[:first].encode("utf-8", "surrogatepass"))
    return start, start + len(text[first:end].encode("utf-8", "surrogatepass"))
