"""Phase three: one published file from the units' tables and what deduplication decided.

A shard's task reads of every unit the rows that fall in its id range, leaves out or picks what deduplication removed,
and writes the rows ordered by id.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dedup.decisions import removed_name, sizes_name, spans_name
from pipeline.groups import Group, Source
from pipeline.manifest import Manifest
from pipeline.recipe import Recipe
from pipeline.shards import Shard
from pipeline.statistics import count_documents, count_rejects
from pipeline.store import Store
from pipeline.unit import table_name
from stages import schema
from stages.substrings import cut

PHASE = "publish"
DAMAGED = "quarantine/damaged.parquet"
ORDER = [("id", "ascending"), ("warc_path", "ascending"), ("warc_offset", "ascending")]

_DECISION = ("stage", "rule", "value", "threshold", "detail")
_COPIED = [name for name in schema.EXTRACTED.names if name in schema.DOCUMENT.names and name != "text"]


def publish_shard(shard: Shard, *, output: Path, groups: Sequence[Group], recipe: Recipe, key: str) -> dict[str, Any]:
    """Write one shard and its manifest record, which is returned. `key` changes with the rows that exist."""
    store = Store(output)
    manifest = Manifest(store, PHASE)
    unit = unit_name(shard)
    if record := manifest.done(unit, key):
        return record
    started_s = time.process_time()
    if shard.stage is None:
        rows, declared, count = _documents(store, shard, groups, recipe), schema.DOCUMENT, count_documents
    else:
        rows, declared, count = _rejects(store, shard, groups), schema.REJECT, count_rejects
    table = pa.concat_tables([declared.empty_table(), *rows]).sort_by(ORDER).combine_chunks()
    store.write_table(shard.name, table, declared)
    report = count(table) | {"cpu_s": time.process_time() - started_s}
    return manifest.finish(unit, key, [shard.name], report)


def unit_name(shard: Shard) -> str:
    """Name of a shard's manifest record."""
    return shard.name.removesuffix(".parquet").replace("/", "-")


def publish_damage(store: Store, groups: Sequence[Group]) -> None:
    """Write the table of byte ranges that could not be read."""
    tables = [_read(store, "damage", source, schema.DAMAGE.names) for group in groups for source in group.sources]
    table = pa.concat_tables([schema.DAMAGE.empty_table(), *tables])
    order = [("warc_path", "ascending"), ("start", "ascending"), ("end", "ascending")]
    store.write_table(DAMAGED, table.sort_by(order).combine_chunks(), schema.DAMAGE)


def _documents(store: Store, shard: Shard, groups: Sequence[Group], recipe: Recipe) -> Iterator[pa.Table]:
    wanted = pc.field("verdict_stage").is_null() & (pc.field("language") == shard.language) & shard.holds_id()
    for group in groups:
        removed, sizes = (_decided(store, name(group.number)) for name in (removed_name, sizes_name))
        spans = _decided(store, spans_name(group.number)) if _cuts(recipe) else schema.SPAN.empty_table()
        for source in group.sources:
            rows = _read(store, "extracted", source, ["corrected", *_COPIED], wanted)
            rows = rows.filter(_place(rows, _of_source(removed, source)).is_null()).combine_chunks()
            sizes_here = _of_source(sizes, source)
            size = pc.fill_null(sizes_here["cluster_size"].take(_place(rows, sizes_here)), 1)
            text = cut(rows["id"].combine_chunks(), rows["corrected"].combine_chunks(), spans).text
            rows = rows.append_column("text", text).append_column("cluster_size", size)
            yield rows.select(schema.DOCUMENT.names).cast(schema.DOCUMENT)


def _cuts(recipe: Recipe) -> bool:
    """Whether repeated passages are taken out of texts; elsewhere the table of spans is all that says of them."""
    return recipe.substrings is not None and recipe.substrings.mode == "cut"


def _rejects(store: Store, shard: Shard, groups: Sequence[Group]) -> Iterator[pa.Table]:
    for group in groups:
        all_removed = _decided(store, removed_name(group.number))
        for source in group.sources:
            removed = _of_source(all_removed, source)
            for rows in (_dropped(store, shard, source), _judged(store, shard, source)):
                place = _place(rows, removed)
                own = rows.filter(place.is_null())
                decided = _as_rejects(rows, {name: removed[name].take(place) for name in _DECISION})
                for table in (own, decided):
                    yield of_stage(table, shard.stage)


def of_stage(rows: pa.Table, stage: str | None) -> pa.Table:
    """The rejects of one stage; a dictionary of that name alone, whatever other stages the unit had."""
    mine = rows.filter(pc.equal(rows["stage"], stage))
    names = pa.array([stage] * mine.num_rows, pa.string()).dictionary_encode()
    return mine.set_column(mine.schema.get_field_index("stage"), "stage", names).cast(schema.REJECT)


def _dropped(store: Store, shard: Shard, source: Source) -> pa.Table:
    rows = _read(store, "dropped", source, schema.REJECT.names, shard.holds_id())
    return _as_rejects(rows, {})


def _judged(store: Store, shard: Shard, source: Source) -> pa.Table:
    """Pages that reached extraction, in the columns of a reject (null stage and rule where the recipe kept them)."""
    rows = _read(store, "extracted", source, ["text", "verdict", "verdict_stage", *_COPIED], shard.holds_id())
    verdict = rows["verdict"].combine_chunks()
    columns = {field.name: pc.struct_field(verdict, field.name) for field in schema.VERDICT}
    columns["stage"] = rows["verdict_stage"]
    columns["text"] = pc.utf8_slice_codeunits(rows["text"], 0, schema.REJECT_TEXT_CHARS)
    return _as_rejects(rows, columns)


def _as_rejects(rows: pa.Table, columns: dict[str, Any]) -> pa.Table:
    """`rows` in the columns of a reject, each from `columns` where it is there; `stage` as plain strings."""
    arrays = dict(zip(rows.schema.names, rows.columns, strict=True)) | columns
    arrays["stage"] = arrays["stage"].cast(pa.string())
    return pa.table({name: arrays[name] for name in schema.REJECT.names})


def _read(
    store: Store, folder: str, source: Source, columns: list[str], wanted: pc.Expression | None = None
) -> pa.Table:
    path = store.path(table_name(folder, source.unit))
    return pq.read_table(path, columns=columns, filters=wanted, partitioning=None)


def _decided(store: Store, name: str) -> pa.Table:
    return pq.read_table(store.path(name), partitioning=None)


def _of_source(decided: pa.Table, source: Source) -> pa.Table:
    return decided.filter(pc.equal(decided["warc_path"], source.warc_path)).combine_chunks()


def _place(rows: pa.Table, decided: pa.Table) -> pa.ChunkedArray:
    """Row of `decided` that speaks of each of `rows`, null where none does; both are of one input."""
    return pc.index_in(rows["warc_offset"], value_set=decided["warc_offset"].combine_chunks())
