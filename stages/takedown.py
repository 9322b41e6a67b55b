"""Takedown: pages that somebody asked to have taken out, by their address or by the domain that they lie on.

Addresses are compared in canonical form (`stages.canonical_url`); a domain takes its subdomains with it, as in a block
list.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages import schema
from stages.block_list import BlockList, compile_block_list
from stages.canonical_url import canonical, domain_of, domain_of_canonical
from stages.cascade import TAKEDOWN
from stages.url_scan import canonical_column
from stages.verdicts import Verdict, with_verdicts

LISTED_URL, LISTED_DOMAIN = "listed_url", "listed_domain"

_DOMAIN = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+")
_KEPT_OF_A_PAGE = ("id", "url", "warc_path", "warc_offset", "warc_length", "crawl", "fetch_time", "opt_out")
_NO_HOST = re.compile(r"[\s@:*?#]")


@dataclass(frozen=True)
class TakedownList:
    """What is to be taken out: addresses and domains, both as `url_entry` and `domain_entry` return them."""

    urls: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()

    def __or__(self, other: TakedownList) -> TakedownList:
        """What either lists."""
        return TakedownList(self.urls | other.urls, self.domains | other.domains)

    def __bool__(self) -> bool:
        return bool(self.urls or self.domains)

    @functools.cached_property
    def _url_column(self) -> pa.Array:
        return pa.array(sorted(self.urls), pa.string())

    @functools.cached_property
    def _domain_list(self) -> BlockList:
        return BlockList(compile_block_list(["\n".join(sorted(self.domains)).encode()]))

    def matches(self, urls: pa.Array[Any]) -> dict[int, Verdict]:
        """Verdicts by row of a column of addresses as written, of the rows that are listed; `detail` is the entry."""
        if not self:
            return {}
        column = canonical_column(urls)
        domains = self._domain_list.matches(column) if self.domains else {}
        # The block list knows keys of 64 bits; what it found is held against the names themselves.
        found = {row: Verdict(LISTED_DOMAIN, detail=name) for row, name in domains.items() if name in self.domains}
        if self.urls:
            places = pc.index_in(column, value_set=self._url_column)
            rows = np.flatnonzero(places.is_valid().to_numpy(zero_copy_only=False)).tolist()
            found |= {row: Verdict(LISTED_URL, detail=column[row].as_py()) for row in rows}
        return found


def filter_takedown(batch: pa.RecordBatch, listed: TakedownList) -> pa.RecordBatch:
    """Return `batch`, judged by its column `url`, with the column `takedown`.

    Rules: `listed_url`, then `listed_domain`; `detail` is the entry.
    """
    found = listed.matches(batch.column("url"))
    return with_verdicts(batch, TAKEDOWN, [found.get(row) for row in range(batch.num_rows)])


def take_out(rows: pa.Table, listed: TakedownList) -> tuple[pa.Table, pa.Table]:
    """Part `rows`, which have the places and address of a capture, into those that stay and those listed, as rejects.

    What a listed row said of the page's content, its text above all, is gone.
    """
    found = listed.matches(rows["url"].combine_chunks())
    listed_rows = np.array(sorted(found), np.int64)
    stays = np.ones(rows.num_rows, np.bool_)
    stays[listed_rows] = False
    taken = rows.take(pa.array(listed_rows))
    n = taken.num_rows
    columns: dict[str, Any] = {name: taken[name] for name in _KEPT_OF_A_PAGE}
    columns |= {
        "stage": pa.array([TAKEDOWN] * n, pa.string()).dictionary_encode(),
        "rule": pa.array([found[row].rule for row in listed_rows.tolist()], pa.string()),
        "detail": pa.array([found[row].detail for row in listed_rows.tolist()], pa.string()),
        "text": pa.array([""] * n, pa.string()),
    }
    arrays = [columns.get(field.name, pa.nulls(n, field.type)) for field in schema.REJECT]
    return rows.filter(pa.array(stays)), pa.Table.from_arrays(arrays, names=schema.REJECT.names).cast(schema.REJECT)


def url_entry(text: str) -> str:
    """An address of a list in canonical form; ValueError where it is none."""
    address = canonical(text)
    if any(map(str.isspace, text)) or "://" not in address or not domain_of_canonical(address):
        raise ValueError(f"{text!r} is no address; write it whole, as https://example.org/page.html, one a line")
    return address


def domain_entry(text: str) -> str:
    """A domain of a list in canonical form, without `www.`; ValueError where it is none."""
    if "/" in text or "\\" in text:
        raise ValueError(f"{text!r} is an address; list it with --urls, or its domain alone")
    domain = domain_of(f"http://{text}")
    if _NO_HOST.search(text) or not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{text!r} is no domain; write it as example.org, its subdomains go with it")
    return domain


def spellings(url: str) -> list[str]:
    """Other addresses that often name the page of one in canonical form, though they need not: another scheme, `www.`
    or none, a slash at the end or none."""
    rest = url.partition("://")[2]
    bare = rest.removeprefix("www.")
    path = bare.removesuffix("/")
    ends = [path, f"{path}/"] if "/" in path else [bare]
    found = [f"{scheme}://{www}{end}" for scheme in ("http", "https") for www in ("", "www.") for end in ends]
    return [other for other in found if other != url]
