"""Find a page of a finished run without scanning: a sorted table from 64-bit keys to file and row group.

A page has two keys: the hash of its canonical URL, and the first half of its id. A damaged range whose URL was still
readable has the key of that URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.publish import DAMAGED
from pipeline.shards import ENGLISH, EUROPE, REJECTED
from pipeline.store import Store
from stages import keys
from stages.urls import canonical

NAME = "lookup/keys.parquet"
SCHEMA = pa.schema(
    [
        pa.field(
            "key", pa.uint64(), nullable=False, metadata={"doc": "hash of the canonical URL, or first half of the id"}
        ),
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row_group", pa.int32(), nullable=False),
    ]
)
ID = re.compile(r"[0-9a-f]{32}")


def url_key(url: str) -> int | None:
    """First 64 bits of the key by which copies are found; None for what is no address."""
    key = keys.url_key(url)
    return int.from_bytes(key[:8], "big") if key else None


def id_key(page_id: str) -> int:
    """First 64 bits of an id."""
    return int(page_id[:16], 16)


def build(store: Store) -> None:
    """Write the table over all published files."""
    pieces = [piece for name in _published(store) for piece in _keys_of(store, name)]
    if not pieces:
        store.write_table(NAME, SCHEMA.empty_table(), SCHEMA)
        return
    files = np.concatenate([np.full(len(found), name) for found, name, _ in pieces])
    groups = np.concatenate([np.full(len(found), group, np.int32) for found, _, group in pieces])
    table = pa.table(
        {
            "key": np.concatenate([found for found, _, _ in pieces]),
            "file": pa.array(files.astype(object), pa.string()),
            "row_group": groups,
        }
    )
    distinct = table.group_by(["key", "file", "row_group"]).aggregate([])
    order = [("key", "ascending"), ("file", "ascending"), ("row_group", "ascending")]
    store.write_table(NAME, distinct.sort_by(order).select(SCHEMA.names).cast(SCHEMA).combine_chunks(), SCHEMA)


def find(store: Store, query: str) -> list[dict[str, Any]]:
    """All rows of the page that `query` (a URL in any spelling, or an id) names, each with `file` added."""
    by_id = ID.fullmatch(query) is not None
    key = id_key(query) if by_id else url_key(query)
    places = pq.read_table(store.path(NAME), filters=pc.field("key") == pa.scalar(key, pa.uint64()), partitioning=None)
    rows = []
    for place in places.select(["file", "row_group"]).to_pylist():
        table = pq.ParquetFile(store.path(place["file"])).read_row_group(place["row_group"])
        rows += [row | {"file": place["file"]} for row in _matching(table, query, by_id)]
    return sorted(rows, key=lambda row: (row["warc_path"], row.get("warc_offset", row.get("start"))))


def _matching(table: pa.Table, query: str, by_id: bool) -> Iterator[dict[str, Any]]:
    if by_id:
        if "id" in table.column_names:
            yield from table.filter(pc.equal(table["id"], query)).to_pylist()
        return
    wanted = canonical(query)
    hits = [url is not None and canonical(url) == wanted for url in table["url"].to_pylist()]
    yield from table.filter(pa.array(hits, pa.bool_())).to_pylist()


def _published(store: Store) -> list[str]:
    folders = (ENGLISH, EUROPE, REJECTED)
    return [*(name for folder in folders for name in store.names(folder, ".parquet")), DAMAGED]


def _keys_of(store: Store, name: str) -> Iterator[tuple[np.ndarray[Any, Any], str, int]]:
    file = pq.ParquetFile(store.path(name))
    columns = [column for column in ("id", "url") if column in file.schema_arrow.names]
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=columns)
        found = [key for url in table["url"].to_pylist() if url and (key := url_key(url)) is not None]
        if "id" in columns:
            found += map(id_key, table["id"].to_pylist())
        yield np.array(found, np.uint64), name, group
