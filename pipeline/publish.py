"""Phase three: one published file from the units' tables and what deduplication decided.

A shard's task reads of every unit the rows that fall in its id range, leaves out or picks what deduplication removed,
and writes the rows ordered by id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.manifest import Manifest
from pipeline.shards import Shard
from pipeline.statistics import count_documents, count_rejects
from pipeline.store import Store
from stages import schema

PHASE = "publish"
REMOVED = "work/dedup/removed.parquet"
SIZES = "work/dedup/sizes.parquet"
DAMAGED = "quarantine/damaged.parquet"
ORDER = [("id", "ascending"), ("warc_path", "ascending"), ("warc_offset", "ascending")]

REMOVED_SCHEMA = pa.schema(
    [
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("detail", pa.string()),
    ]
)
"""Rows that deduplication dropped; `detail` is the id of the row that stayed in their place."""

SIZES_SCHEMA = pa.schema([("warc_path", pa.string()), ("warc_offset", pa.int64()), ("cluster_size", pa.int64())])
"""Documents that stand for more than themselves."""


@dataclass(frozen=True)
class Source:
    """A finished unit: its table name and the one input it holds."""

    unit: str
    warc_path: str


def publish_shard(shard: Shard, *, output: Path, sources: Sequence[Source], key: str) -> dict[str, Any]:
    """Write one shard and its manifest record, which is returned. `key` changes with the rows that exist."""
    store, manifest = Store(output), Manifest(Store(output), PHASE)
    unit = shard.name.removesuffix(".parquet").replace("/", "-")
    if record := manifest.done(unit, key):
        return record
    if shard.stage is None:
        table, declared, count = (
            _sorted(_documents(store, shard, sources), schema.DOCUMENT),
            schema.DOCUMENT,
            count_documents,
        )
    else:
        table, declared, count = _sorted(_rejects(store, shard, sources), schema.REJECT), schema.REJECT, count_rejects
    store.write_table(shard.name, table, declared)
    return manifest.finish(unit, key, [shard.name], count(table))


def publish_damage(store: Store, sources: Sequence[Source]) -> None:
    """Write the table of byte ranges that could not be read."""
    tables = [pq.read_table(store.path(f"work/damage/{source.unit}.parquet")) for source in sources]
    table = pa.concat_tables([schema.DAMAGE.empty_table(), *tables])
    order = [("warc_path", "ascending"), ("start", "ascending"), ("end", "ascending")]
    store.write_table(DAMAGED, table.sort_by(order).combine_chunks(), schema.DAMAGE)


def _sorted(tables: Iterator[pa.Table], declared: pa.Schema) -> pa.Table:
    table = pa.concat_tables([declared.empty_table(), *tables])
    return table.sort_by(ORDER).combine_chunks()


def _documents(store: Store, shard: Shard, sources: Sequence[Source]) -> Iterator[pa.Table]:
    wanted = pc.field("verdict_stage").is_null() & (pc.field("language") == shard.language) & shard.holds_id()
    for source in sources:
        rows = _read(store, "extracted", source, wanted)
        rows = rows.filter(_place(rows, _decided(store, REMOVED, source)).is_null())
        sizes = _decided(store, SIZES, source)
        size = pc.fill_null(sizes["cluster_size"].take(_place(rows, sizes)), 1)
        rows = rows.set_column(rows.schema.get_field_index("text"), "text", rows["corrected"])
        yield rows.append_column("cluster_size", size).select(schema.DOCUMENT.names).cast(schema.DOCUMENT)


def _rejects(store: Store, shard: Shard, sources: Sequence[Source]) -> Iterator[pa.Table]:
    for source in sources:
        removed = _decided(store, REMOVED, source)
        for rows in (_dropped(store, shard, source), _judged(store, shard, source)):
            place = _place(rows, removed)
            own = pc.equal(rows["stage"].cast(pa.string()), shard.stage)
            yield rows.filter(pc.and_(place.is_null(), pc.fill_null(own, False))).cast(schema.REJECT)
            chosen = pc.equal(removed["stage"].take(place), shard.stage)
            yield _with_decision(rows, removed, place).filter(pc.fill_null(chosen, False)).cast(schema.REJECT)


def _dropped(store: Store, shard: Shard, source: Source) -> pa.Table:
    return _read(store, "dropped", source, shard.holds_id())


def _judged(store: Store, shard: Shard, source: Source) -> pa.Table:
    """Pages that reached extraction, in the columns of a reject (null stage and rule where the recipe kept them)."""
    rows = _read(store, "extracted", source, shard.holds_id())
    verdict = rows["verdict"].combine_chunks()
    columns = {name: pc.struct_field(verdict, name) for name in ("rule", "value", "threshold", "detail")}
    columns["stage"] = rows["verdict_stage"]
    columns["text"] = pc.utf8_slice_codeunits(rows["text"], 0, schema.REJECT_TEXT_CHARS)
    return _as_rejects(rows, columns)


def _with_decision(rows: pa.Table, removed: pa.Table, place: pa.ChunkedArray) -> pa.Table:
    return _as_rejects(
        rows, {name: removed[name].take(place) for name in ("stage", "rule", "value", "threshold", "detail")}
    )


def _as_rejects(rows: pa.Table, columns: dict[str, Any]) -> pa.Table:
    arrays = [columns[field.name] if field.name in columns else rows[field.name] for field in schema.REJECT]
    nullable = pa.schema([field.with_nullable(True) for field in schema.REJECT])
    casts = [array.cast(field.type) for array, field in zip(arrays, schema.REJECT, strict=True)]
    return pa.Table.from_arrays(casts, schema=nullable)


def _read(store: Store, folder: str, source: Source, wanted: pc.Expression) -> pa.Table:
    return pq.read_table(store.path(f"work/{folder}/{source.unit}.parquet"), filters=wanted, partitioning=None)


def _decided(store: Store, name: str, source: Source) -> pa.Table:
    wanted = pc.field("warc_path") == source.warc_path
    return pq.read_table(store.path(name), filters=wanted, partitioning=None).combine_chunks()


def _place(rows: pa.Table, decided: pa.Table) -> pa.ChunkedArray:
    """Row of `decided` that speaks of each of `rows`, null where none does; both are of one input."""
    return pc.index_in(rows["warc_offset"], value_set=decided["warc_offset"].combine_chunks())
