"""Find a page of a finished run without scanning: a sorted table from 64-bit keys to file and row group.

A page has two keys: the hash of its canonical URL, and the first half of its id. A damaged range whose URL was still
readable has the key of that URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.publish import DAMAGED
from pipeline.shards import PUBLISHED
from pipeline.store import Store
from stages import keys
from stages.urls import canonical

FOLDER = "lookup"
NAME = f"{FOLDER}/keys.parquet"
RANGE_ROWS = 1 << 22
"""The table is made in ranges of keys of about so many rows, which are in memory at once."""
SCHEMA = pa.schema(
    [
        pa.field(
            "key", pa.uint64(), nullable=False, metadata={"doc": "hash of the canonical URL, or first half of the id"}
        ),
        pa.field("file", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("row_group", pa.int32(), nullable=False),
    ]
)
_PLAIN = pa.schema([("key", pa.uint64()), ("file", pa.string()), ("row_group", pa.int32())])
_ENTRIES = "entries"
_ENTRY = np.dtype([("key", "<u8"), ("row_group", "<i4")])

Keys = NDArray[np.uint64]

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
    _write(store, _files(store), None)


def update(store: Store, changed: Store) -> None:
    """Write into `changed`, which holds some published files of `store` anew, the table over all files as they will be.

    Files that are not there are not read.
    """
    _write(changed, [name for name in _files(changed) if name != DAMAGED], store.path(NAME))


def files_with(store: Store, wanted: Keys) -> list[str]:
    """The files that may hold a page of one of the sorted keys."""
    file = pq.ParquetFile(store.path(NAME))
    found: set[str] = set()
    for group in range(file.num_row_groups):
        bounds = file.metadata.row_group(group).column(0).statistics
        first, last = np.searchsorted(wanted, np.array([bounds.min, bounds.max], np.uint64))
        if first < len(wanted) and (first < last or wanted[first] == bounds.max):
            table = file.read_row_group(group, columns=["key", "file"])
            hits = table.filter(pc.is_in(table["key"], value_set=pa.array(wanted[first : last + 1])))
            found.update(hits["file"].cast(pa.string()).unique().to_pylist())
    return sorted(found)


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


def _files(store: Store) -> list[str]:
    published = [name for folder in PUBLISHED for name in store.names(folder, ".parquet")]
    return [*published, *([DAMAGED] if store.exists(DAMAGED) else [])]


def _write(target: Store, files: list[str], earlier: Path | None) -> None:
    """Write the table over `files` of `target`, and over those of an earlier table that are not among them."""
    entries = target.path(f"{FOLDER}/{_ENTRIES}")
    entries.mkdir(parents=True, exist_ok=True)
    paths = [entries / f"{number}.npy" for number in range(len(files))]
    for name, path in zip(files, paths, strict=True):
        np.save(path, _entries_of(target, name))
    n_rows = sum(len(np.load(path, mmap_mode="r")) for path in paths)
    n_rows += pq.read_metadata(earlier).num_rows if earlier else 0
    n_ranges = max(1, -(-n_rows // RANGE_ROWS))
    bounds = [(number << 64) // n_ranges for number in range(n_ranges + 1)]

    def tables() -> Iterator[pa.Table]:
        for low, end in pairwise(bounds):
            pieces = [_in_range(path, name, low, end) for name, path in zip(files, paths, strict=True)]
            if earlier:
                pieces.append(_still_true(earlier, files, low, end))
            table = pa.concat_tables([_PLAIN.empty_table(), *pieces])
            distinct = table.group_by(_PLAIN.names).aggregate([])
            order = [(name, "ascending") for name in _PLAIN.names]
            yield distinct.sort_by(order).select(SCHEMA.names).cast(SCHEMA).combine_chunks()

    target.write_tables(NAME, SCHEMA, tables())
    target.remove(f"{FOLDER}/{_ENTRIES}")


def _in_range(path: Path, name: str, low: int, end: int) -> pa.Table:
    entries = np.load(path, mmap_mode="r")
    keys = entries["key"]
    first, last = np.searchsorted(keys, np.uint64(low)), np.searchsorted(keys, np.uint64(end - 1), side="right")
    mine = entries[first:last]
    file = pa.array([name], pa.string()).take(pa.array(np.zeros(len(mine), np.int64)))
    return pa.table([pa.array(mine["key"].copy()), file, pa.array(mine["row_group"].copy())], schema=_PLAIN)


def _still_true(earlier: Path, changed: list[str], low: int, end: int) -> pa.Table:
    first, last = (pa.scalar(key, pa.uint64()) for key in (low, end - 1))
    inside = (pc.field("key") >= first) & (pc.field("key") <= last)
    table = pq.read_table(earlier, filters=inside, partitioning=None).cast(_PLAIN)
    return table.filter(pc.invert(pc.is_in(table["file"], value_set=pa.array(changed, pa.string()))))


def _entries_of(store: Store, name: str) -> np.ndarray[Any, Any]:
    """Keys of a file's pages with their row groups, sorted by key."""
    file = pq.ParquetFile(store.path(name))
    columns = [column for column in ("id", "url") if column in file.schema_arrow.names]
    pieces = [np.empty(0, _ENTRY)]
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, columns=columns)
        found = [key for url in table["url"].to_pylist() if url and (key := url_key(url)) is not None]
        if "id" in columns:
            found += map(id_key, table["id"].to_pylist())
        piece = np.empty(len(found), _ENTRY)
        piece["key"], piece["row_group"] = found, group
        pieces.append(piece)
    return np.sort(np.concatenate(pieces), order=["key", "row_group"])
