"""The URL stage: listed domains and addresses, words that give a page away, sources that are curated elsewhere.

RefinedWeb (arXiv 2306.01116, section 3.1 and appendix G.1): a block list of 4.6 million domains, a score by words in
the URL, and the exclusion of sources that enter the mixture as corpora of their own.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from stages.block_list import BlockList, compile_block_list, parent_domains
from stages.canonical_url import canonical, domain_of, domain_of_canonical
from stages.verdicts import Verdict, with_verdicts

__all__ = [
    "BlockList",
    "UrlRules",
    "UrlTables",
    "UrlWords",
    "builtin_words",
    "canonical",
    "compile_block_list",
    "curated_sources",
    "domain_of",
    "filter_urls",
]

_SEPARATORS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, kw_only=True)
class UrlRules:
    """Which of the tables are used. `soft_hits`: how many different soft words drop a page."""

    blocked: bool = True
    words: bool = True
    curated: bool = True
    soft_hits: int = 2


def _builtin_allowed() -> tuple[str, ...]:
    return builtin_words().allowed


def _builtin_curated() -> frozenset[str]:
    return curated_sources()


@dataclass(frozen=True, kw_only=True)
class UrlWords:
    """Word lists; entries may be phrases, case and accents do not count, entries that begin with `#` are comments.

    strict: one whole word drops the page. strict_subwords: one drops it anywhere in the URL, across separators.
    soft: `UrlRules.soft_hits` different whole words drop it. allowed: taken out of the URL before all of these.
    """

    strict: tuple[str, ...] = ()
    strict_subwords: tuple[str, ...] = ()
    soft: tuple[str, ...] = ()
    allowed: tuple[str, ...] = field(default_factory=_builtin_allowed)

    def __or__(self, other: UrlWords) -> UrlWords:
        """The words of both."""
        return UrlWords(
            strict=self.strict + other.strict,
            strict_subwords=self.strict_subwords + other.strict_subwords,
            soft=self.soft + other.soft,
            allowed=self.allowed + other.allowed,
        )


@dataclass(frozen=True, kw_only=True)
class UrlTables:
    """What URLs are held against; `curated` are domains, meant with their subdomains."""

    block_list: BlockList
    words: UrlWords
    curated: frozenset[str] = field(default_factory=_builtin_curated)


@functools.cache
def builtin_words() -> UrlWords:
    """The word lists of `stages/data/url_words.yaml`."""
    data = yaml.safe_load(resources.files("stages").joinpath("data/url_words.yaml").read_text("utf-8"))
    kinds = {kind: tuple(word for group in groups.values() for word in group) for kind, groups in data.items()}
    return UrlWords(**kinds)


@functools.cache
def curated_sources() -> frozenset[str]:
    """The domains of `stages/data/curated_sources.txt`."""
    lines = resources.files("stages").joinpath("data/curated_sources.txt").read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def filter_urls(batch: pa.RecordBatch, rules: UrlRules, tables: UrlTables) -> pa.RecordBatch:
    """Return `batch`, judged by its column `url`, with the column `url_filter`.

    Rules, in this order: `blocked_domain`, `blocked_url`, `curated_source`, `strict_word` (whole or part of one),
    `soft_words` (value: different hits); `detail` names what matched. A record without URL passes.
    """
    urls = [canonical(url) for url in batch.column("url").to_pylist()]
    answers: list[list[Verdict | None]] = [[None] * len(urls)]
    if rules.blocked:
        answers.append([_blocked(match) for match in tables.block_list.match_all(urls)])
    if rules.curated:
        answers.append([_curated(url, tables.curated) for url in urls])
    if rules.words:
        answers.append(_by_words(urls, tables.words, rules.soft_hits))
    first = [next(filter(None, of_row), None) for of_row in zip(*answers, strict=True)]
    return with_verdicts(batch, "url_filter", first)


def _blocked(match: str | None) -> Verdict | None:
    return Verdict("blocked_url" if "/" in match else "blocked_domain", detail=match) if match else None


def _curated(url: str, curated: frozenset[str]) -> Verdict | None:
    found = next((domain for domain in parent_domains(domain_of_canonical(url)) if domain in curated), None)
    return Verdict("curated_source", detail=found) if found else None


def _by_words(urls: Sequence[str], words: UrlWords, soft_hits: int) -> list[Verdict | None]:
    """Judge by two readings of each URL: its words, and all its letters run together."""
    spelt = pa.array([_spelling(unquote(url.partition("://")[2])) for url in urls], pa.string())
    squashed = pc.replace_substring(spelt, "-", "")
    allowed = _spellings(words.allowed)
    spelt = _replaced(spelt, allowed)
    squashed = _replaced(squashed, _squashed(allowed))
    strict = _found(spelt, _spellings(words.strict))
    subwords = _found(squashed, _squashed(_spellings(words.strict_subwords)))
    soft = _found(spelt, _spellings(words.soft))
    return [_score(hard + parts, light, soft_hits) for hard, parts, light in zip(strict, subwords, soft, strict=True)]


def _score(strict: list[str], soft: list[str], soft_hits: int) -> Verdict | None:
    if strict:
        return Verdict("strict_word", len(strict), 1, strict[0])
    return Verdict("soft_words", len(soft), soft_hits, " ".join(soft)) if len(soft) >= soft_hits else None


def _spelling(text: str) -> str:
    """The words of `text` in lower case, without accents, each between dashes of its own: -wet--paint-."""
    lower = text.lower()
    if not lower.isascii():
        lower = "".join(char for char in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(char))
    return "".join([f"-{word}-" for word in _SEPARATORS.split(lower) if word])


@functools.lru_cache(maxsize=16)
def _spellings(entries: tuple[str, ...]) -> tuple[str, ...]:
    spellings = {_spelling(entry) for entry in entries if not entry.startswith("#")}
    return tuple(sorted(spellings - {""}))


def _squashed(spellings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(spelling.replace("-", "") for spelling in spellings)


def _any_of(phrases: tuple[str, ...]) -> str:
    return "|".join(sorted(phrases, key=len, reverse=True))  # letters, digits and dashes: nothing to escape


def _replaced(texts: pa.Array, phrases: tuple[str, ...]) -> pa.Array:
    return pc.replace_substring_regex(texts, _any_of(phrases), " ") if phrases else texts


def _found(texts: pa.Array, phrases: tuple[str, ...]) -> list[list[str]]:
    """The phrases that stand in each text, first come first."""
    found: list[list[str]] = [[] for _ in range(len(texts))]
    if not phrases:
        return found
    # RE2 reads the column in one pass for all phrases; only its hits are looked at here.
    for row in pc.indices_nonzero(pc.match_substring_regex(texts, _any_of(phrases))).to_pylist():
        places = sorted((place, phrase) for phrase in phrases if (place := texts[row].as_py().find(phrase)) >= 0)
        found[row] = [phrase.replace("--", " ").strip("-") for _, phrase in places]
    return found
