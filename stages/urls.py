"""The URL stage: listed domains and addresses, words that give a page away, sources that are curated elsewhere.

RefinedWeb (arXiv 2306.01116, section 3.1 and appendix G.1): a block list of 4.6 million domains, a score by words in
the URL, and the exclusion of sources that enter the mixture as corpora of their own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pyarrow as pa

from stages.block_list import BlockList, compile_block_list
from stages.canonical_url import canonical, domain_of, domain_of_canonical
from stages.url_scan import canonical_column
from stages.url_words import UrlWords, WordScore, builtin_words
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
    "domain_column",
    "domain_of",
    "filter_urls",
]


@dataclass(frozen=True, kw_only=True)
class UrlRules:
    """Which of the tables are used. `soft_hits`: how many different soft words drop a page."""

    blocked: bool = True
    words: bool = True
    curated: bool = True
    soft_hits: int = 2


def _builtin_curated() -> frozenset[str]:
    return curated_sources()


@dataclass(frozen=True, kw_only=True)
class UrlTables:
    """What URLs are held against; `curated` are domains, meant with their subdomains."""

    block_list: BlockList
    words: UrlWords
    curated: frozenset[str] = field(default_factory=_builtin_curated)

    @functools.cached_property
    def score(self) -> WordScore:
        """The word lists, made ready."""
        return WordScore(self.words)

    @functools.cached_property
    def curated_list(self) -> BlockList:
        """The curated domains, made ready."""
        return BlockList(compile_block_list(["\n".join(self.curated).encode()]))


def domain_column(urls: pa.Array[Any]) -> pa.Array[Any]:
    """`domain_of` of every address of a string column without nulls."""
    return pa.array(map(domain_of_canonical, canonical_column(urls).to_pylist()), pa.string())


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
    urls = canonical_column(batch.column("url"))
    found: dict[int, Verdict] = {}
    if rules.words:
        found |= tables.score(urls, rules.soft_hits)
    if rules.curated:
        found |= {
            row: Verdict("curated_source", detail=match) for row, match in tables.curated_list.matches(urls).items()
        }
    if rules.blocked:
        found |= {row: _blocked(match) for row, match in tables.block_list.matches(urls).items()}
    return with_verdicts(batch, "url_filter", [found.get(row) for row in range(len(urls))])


def _blocked(match: str) -> Verdict:
    return Verdict("blocked_url" if "/" in match else "blocked_domain", detail=match)
