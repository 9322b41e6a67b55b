"""Listed addresses in an index, which knows the keys of addresses alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.index import remove_documents, url_keys_of
from pipeline.removals import Order
from stages import keys

Outcome = dict[str, Any]


def held_by(index: Path | None, order: Order) -> dict[str, bytes]:
    """The listed addresses that an index holds, each with its key; none of a list of domains."""
    if not index or order.kind != "urls":
        return {}
    listed = {url: key for url in order.entries if (key := keys.url_key(url))}
    held = url_keys_of(index, set(listed.values()))
    return {url: key for url, key in listed.items() if key in held}


def take_from_index(index: Path, order: Order) -> Outcome:
    """Take listed addresses out of an index; what was done, in numbers. UsageError where there is no index."""
    held = held_by(index, order)
    return {
        "kind": order.kind,
        "listed": len(order.entries),
        "not_found": [url for url in order.entries if url not in held],
        "index_documents": remove_documents(index, set(), set(held.values())) if held else 0,
    }
