"""What a takedown took out, as tables and figures of other kinds are held against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.dedup.segment import SEGMENT
from pipeline.manifest import FOLDER as MANIFEST
from pipeline.manifest import Manifest
from pipeline.store import ROWS_PER_GROUP
from pipeline.takedown_tasks import TAKEN, Staged, declared_schema

_EVIDENCE = "dedup"
_SEGMENT = f"work/{SEGMENT}"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Pages that were taken out. documents: ids of those that had been published. urls: as written."""

    ids: set[str]
    documents: set[str]
    urls: set[str]

    @classmethod
    def read(cls, staged: Staged) -> Taken:
        """What the tasks took out."""
        ids, documents, urls = set[str](), set[str](), set[str]()
        for name in staged.tasks.names(TAKEN, ".parquet"):
            table = pq.read_table(staged.tasks.path(name), columns=["id", "url"], partitioning=None)
            ids.update(table["id"].to_pylist())
            urls.update(table["url"].to_pylist())
            if name.startswith(f"{TAKEN}/documents-"):
                documents.update(table["id"].to_pylist())
        return cls(ids=ids, documents=documents, urls=urls)

    def out_of(self, figures: Any) -> Any:
        """Figures without the entries of lists that name a page by its id."""
        if isinstance(figures, dict):
            return {name: self.out_of(value) for name, value in figures.items()}
        if isinstance(figures, list):
            return [self.out_of(value) for value in figures if not self._names(value)]
        return figures

    def _names(self, entry: Any) -> bool:
        return isinstance(entry, dict) and any(isinstance(value, str) and value in self.ids for value in entry.values())


def strip_tables(staged: Staged, taken: Taken) -> None:
    """Stage tables and records of evidence that hold texts, and the run's segment, without what names a page by id."""
    store = staged.store
    names = [name for name in store.names(_EVIDENCE, ".parquet") if _has_text(pq.read_schema(store.path(name)))]
    names += store.names(_SEGMENT, ".parquet")
    value_set = pa.array(sorted(taken.ids), pa.string())
    for name in names:
        path = store.path(name)
        if sum(table.num_rows for table in _left(path, value_set)) < pq.read_metadata(path).num_rows:
            staged.new.write_tables(name, declared_schema(pq.read_schema(path)), _left(path, value_set))
    _strip_records(staged, taken)


def _has_text(columns: pa.Schema) -> bool:
    return any("text" in name for name in columns.names)


def _strip_records(staged: Staged, taken: Taken) -> None:
    """Stage the records of deduplication, whose reports may show samples of texts, likewise."""
    store, of_all = staged.store, f"{MANIFEST}/{_EVIDENCE}/all.json"
    for name in store.names(f"{MANIFEST}/{_EVIDENCE}", ".json"):
        said = store.read_json(name)
        left = taken.out_of(said)
        if name == of_all:
            Manifest(store, _EVIDENCE).amend(left, staged.new, left["report"])
        elif left != said:
            staged.new.write_json(name, left)


def _left(path: Path, ids: pa.Array) -> Iterator[pa.Table]:
    """A table without the rows that name one of the ids, row group by row group."""
    with pq.ParquetFile(path) as file:
        declared = declared_schema(file.schema_arrow)
        for batch in file.iter_batches(ROWS_PER_GROUP):
            yield _without(pa.Table.from_batches([batch]), ids).cast(declared)


def _without(table: pa.Table, ids: pa.Array) -> pa.Table:
    for name in table.schema.names:
        if pa.types.is_string(table.schema.field(name).type):
            table = table.filter(pc.invert(pc.is_in(table[name], value_set=ids)))
    return table
