"""Block lists of domains and addresses as one sorted table of 64-bit hashes, 8 bytes an entry, fit for a memory map.

Lists come in UT1's format (https://dsi.ut-capitole.fr/blacklists/): one domain, or one address without scheme, a line.
A listed domain blocks its subdomains. With n entries, a foreign key matches by chance with probability n / 2⁶⁴:
2.5e-13 for the 4.6 million domains that RefinedWeb used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from stages.canonical_url import canonical, domain_of, domain_of_canonical

Table = NDArray[np.uint64]

_is_plain = re.compile(r"(?!www\.)[a-z0-9-]+(\.[a-z0-9-]+)+").fullmatch
"""Whether a line is a domain in its canonical form: most of a list is, and millions of lines take time."""


def parent_domains(host: str) -> list[str]:
    """Return `host` and its parents down to two labels: a.b.example.org, b.example.org, example.org."""
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(max(1, len(labels) - 1))]


def compile_block_list(domains: Iterable[str], urls: Iterable[str] = ()) -> Table:
    """Return the sorted, unique hashes of listed domains and addresses, without blank lines and `#` comments."""
    hosts = (entry if _is_plain(entry) else _listed_host(entry) for entry in domains)
    lines = (line for entry in urls if (line := _entry(entry)))
    addresses = (_address_key(canonical(f"http://{line}")) for line in lines)
    hashes = np.sort(_hashes(chain(map(_domain_key, filter(None, hosts)), addresses)))
    distinct: Table = hashes[np.diff(hashes, prepend=~hashes[:1]) != 0]
    return distinct


class BlockList:
    """Looks addresses up in a table of `compile_block_list`, which may be mapped from disk."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def match(self, url: str) -> str | None:
        """Return the entry that blocks `url`: a domain, or an address without scheme (it holds a `/`); else None."""
        return self.match_all([canonical(url)])[0]

    def match_all(self, canonical_urls: Sequence[str]) -> list[str | None]:
        """`match` for many addresses in canonical form, with one search of the table."""
        keys: list[str] = []
        rows: list[int] = []
        for row, url in enumerate(canonical_urls):
            own = [_domain_key(domain) for domain in parent_domains(domain_of_canonical(url))] + [_address_key(url)]
            keys += own
            rows += [row] * len(own)
        matches: list[str | None] = [None] * len(canonical_urls)
        for i in np.flatnonzero(self._holds(keys)).tolist():
            matches[rows[i]] = matches[rows[i]] or keys[i][1:]
        return matches

    def _holds(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        if not self._table.size or not keys:
            return np.zeros(len(keys), np.bool_)
        hashes = _hashes(keys)
        places = np.minimum(np.searchsorted(self._table, hashes), self._table.size - 1)
        found: NDArray[np.bool_] = self._table[places] == hashes
        return found


# A key's first character tells a domain from the address of its front page.
def _domain_key(domain: str) -> str:
    return f"@{domain}"


def _address_key(canonical_url: str) -> str:
    return "/" + canonical_url.partition("://")[2].removeprefix("www.").rstrip("/")


def _hashes(keys: Iterable[str]) -> Table:
    digests = bytearray()
    for key in keys:
        digests += blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _entry(line: str) -> str:
    entry = line.strip()
    return "" if entry.startswith("#") else entry.removeprefix("http://").removeprefix("https://")


def _listed_host(line: str) -> str:
    entry = _entry(line).lower().removeprefix("www.")
    return entry if entry.isascii() and "/" not in entry and "%" not in entry else domain_of(f"http://{entry}")
