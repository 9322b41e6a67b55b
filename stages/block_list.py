"""Block lists of domains and addresses as one sorted table of 64-bit keys, 8 bytes an entry, fit for a memory map.

Lists come in UT1's format (https://dsi.ut-capitole.fr/blacklists/): one domain, or one address without scheme, a line.
A listed domain blocks its subdomains. With n entries, a foreign address matches by chance with probability n / 2⁶⁴:
2.5e-13 for the 4.6 million domains that RefinedWeb used.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from stages.canonical_url import canonical, domain_of
from stages.segment import Hashes
from stages.url_scan import domain_key, find_listed, key_table, keys_of_lines, page_key


def compile_block_list(lists: Iterable[bytes]) -> Hashes:
    """Return the sorted, unique keys of all entries: uint64[n].

    lists: pieces of lists in UTF-8, each of whole lines. Blank lines and `#` comments do not count.
    """
    keys = [np.empty(0, np.uint64)]
    for lines in lists:
        plain, others = keys_of_lines(lines)
        odd = (_entry_key(lines[start:end].decode("utf-8", "replace")) for start, end in others.tolist())
        keys += [plain, np.array([key for key in odd if key is not None], np.uint64)]
    ordered = np.sort(np.concatenate(keys))
    distinct: Hashes = ordered[np.diff(ordered, prepend=~ordered[:1]) != 0]
    return distinct


class BlockList:
    """Looks addresses up in a table of `compile_block_list`, which may be mapped from disk."""

    def __init__(self, keys: Hashes) -> None:
        self._table = key_table(keys)

    def match(self, url: str) -> str | None:
        """Return the entry that blocks `url`: a domain, or an address without scheme (it holds a `/`); else None."""
        return self.matches(pa.array([canonical(url)], pa.string())).get(0)

    def matches(self, canonical_urls: pa.Array[Any]) -> dict[int, str]:
        """`match` for a column of addresses in canonical form: entries by row, of the rows that are blocked."""
        places = find_listed(canonical_urls, self._table)
        rows = np.flatnonzero(places[:, 0] >= 0).tolist()
        return {row: canonical_urls[row].as_py().encode()[slice(*places[row])].decode() for row in rows}


def _entry_key(line: str) -> int | None:
    """Key of an entry that is not in canonical form as it stands; None for a comment and for nothing."""
    entry = line.strip()
    if not entry or entry.startswith("#"):
        return None
    entry = entry.removeprefix("http://").removeprefix("https://")
    if "/" in entry:
        return page_key(canonical(f"http://{entry}").encode())
    host = domain_of(f"http://{entry}")
    return domain_key(host.encode()) if host else None
