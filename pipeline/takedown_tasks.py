"""The tasks of a takedown: a published file, or a unit's tables, written anew without what is listed, into the staging.

A task whose record is in the staging is not done again.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import publish
from pipeline.manifest import Manifest
from pipeline.removals import PENDING, STAGING, Order
from pipeline.run import FINISHED
from pipeline.shards import PUBLISHED, REJECTED, Shard, shards_of
from pipeline.statistics import count_documents, count_rejects
from pipeline.store import Store
from pipeline.unit import PHASE, ROW_ORDER, table_name
from stages import schema
from stages.cascade import TAKEDOWN
from stages.takedown import TakedownList, take_out

TAKEDOWN_FOLDER = f"{REJECTED}/stage={TAKEDOWN}"
TAKEN = "taken"
SHARDS, UNITS, GATHERED = "shards", "units", "gathered"
"""The phases, in their order."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Staged:
    """A run, the files that will take the place of its own, and the tasks that made them with what they took out."""

    store: Store
    new: Store
    tasks: Store

    @classmethod
    def of(cls, store: Store) -> Staged:
        """The staging of a run."""
        top = store.path(STAGING)
        return cls(store, Store(top / "files"), Store(top))

    @functools.cached_property
    def listed(self) -> TakedownList:
        """What is to be taken out."""
        return _listed(self.store.path(PENDING), self.digest)

    @functools.cached_property
    def digest(self) -> str:
        """Tells the list from others."""
        return str(self.store.read_json(PENDING)["digest"])

    def records(self, phase: str) -> Manifest:
        """The tasks of a phase that are finished."""
        return Manifest(self.tasks, phase)


@functools.lru_cache(maxsize=1)
def _listed(path: Path, _digest: str) -> TakedownList:
    said = Store(path.parent).read_json(path.name)
    return Order(kind=said["kind"], entries=tuple(said["entries"])).listed


def unit_inputs(store: Store) -> Iterator[tuple[str, str]]:
    """The units of a finished run whose tables are there, each with its input."""
    manifest = Manifest(store, PHASE)
    for unit in store.read_json(FINISHED)["units"]:
        if record := manifest.whole(unit):
            yield unit, record["report"]["warc_path"]


def published_names(store: Store) -> list[str]:
    """The published files of a run."""
    return [name for folder in PUBLISHED for name in store.names(folder, ".parquet")]


def published_reports(staged: Staged) -> list[tuple[Shard, Record]]:
    """The published files as they will be, each with what was counted of it."""
    now, new = (Manifest(store, publish.PHASE) for store in (staged.store, staged.new))
    found = []
    for shard in shards_of({*published_names(staged.store), *published_names(staged.new)}):
        record = new.whole(publish.unit_name(shard)) or now.whole(publish.unit_name(shard))
        assert record, f"{shard.name} is finished"
        found.append((shard, record["report"]))
    return found


def take_from_shard(name: str, *, root: Path) -> Record:
    """Write one published file without the listed rows, if it has any; its task's record."""
    staged = Staged.of(Store(root))
    task = name.removesuffix(".parquet").replace("/", "-")
    if record := staged.records(SHARDS).done(task, staged.digest):
        return record
    found = _found(staged, name)
    before = name.startswith(TAKEDOWN_FOLDER)
    report: Record = {"pages": 0, "documents": 0, "entries": [], "inputs": []}
    report["entries_before"] = sorted(set(found.values())) if before else []
    if before or not found:
        return staged.records(SHARDS).finish(task, staged.digest, [], report)
    return staged.records(SHARDS).finish(task, staged.digest, *_rewrite(staged, name, task, report))


def _found(staged: Staged, name: str) -> dict[int, str]:
    """Rows of a file that are listed, with their entries."""
    found: dict[int, str] = {}
    first = 0
    with pq.ParquetFile(staged.store.path(name)) as file:
        for batch in file.iter_batches(columns=["url"]):
            matches = staged.listed.matches(batch.column("url"))
            found |= {first + row: verdict.detail or "" for row, verdict in matches.items()}
            first += batch.num_rows
    return found


def _rewrite(staged: Staged, name: str, task: str, report: Record) -> tuple[list[str], Record]:
    store, new = staged.store, staged.new
    of_documents = not name.startswith(REJECTED)
    declared, count = (schema.DOCUMENT, count_documents) if of_documents else (schema.REJECT, count_rejects)
    left, taken = take_out(pq.read_table(store.path(name), partitioning=None), staged.listed)
    left = left.cast(declared).combine_chunks()
    new.write_table(name, left, declared)
    manifest = Manifest(store, publish.PHASE)
    record = manifest.whole(task)
    assert record, f"{name} is finished"
    manifest.amend(record, new, count(left) | {"cpu_s": record["report"]["cpu_s"]})
    taken_name = f"{TAKEN}/{'documents' if of_documents else 'rejects'}-{task}.parquet"
    staged.tasks.write_table(taken_name, taken.combine_chunks(), schema.REJECT)
    report |= {
        "pages": taken.num_rows,
        "documents": taken.num_rows if of_documents else 0,
        "entries": sorted(set(taken["detail"].to_pylist())),
        "inputs": sorted(set(taken["warc_path"].to_pylist())),
    }
    return [taken_name], report


def gather_shard(shard: Shard, *, root: Path) -> Record:
    """Write one file of the pages that were taken out, those of earlier removals with them; its task's record."""
    staged = Staged.of(Store(root))
    store, new, task = staged.store, staged.new, publish.unit_name(shard)
    if record := staged.records(GATHERED).done(task, staged.digest):
        return record
    paths = [store.path(name) for name in store.names(TAKEDOWN_FOLDER, ".parquet")]
    paths += [staged.tasks.path(name) for name in staged.tasks.names(TAKEN, ".parquet")]
    rows = [pq.read_table(path, filters=shard.holds_id(), partitioning=None) for path in paths]
    table = publish.of_stage(pa.concat_tables(map(_plain, rows)).sort_by(publish.ORDER), TAKEDOWN).combine_chunks()
    new.write_table(shard.name, table, schema.REJECT)
    key = store.read_json(FINISHED)["key"]
    report = count_rejects(table) | {"cpu_s": 0.0}
    Manifest(new, publish.PHASE).finish(task, key, [shard.name], report)
    return staged.records(GATHERED).finish(task, staged.digest, [], {"rows": table.num_rows})


def take_from_unit(unit: str, *, root: Path) -> Record:
    """Write a unit's tables without the listed pages, which stand among those dropped; its task's record."""
    staged = Staged.of(Store(root))
    if record := staged.records(UNITS).done(unit, staged.digest):
        return record
    store, new = staged.store, staged.new
    extracted, dropped, keys = (
        pq.read_table(store.path(table_name(folder, unit)), partitioning=None)
        for folder in ("extracted", "dropped", "keys")
    )
    extracted, judged = take_out(extracted, staged.listed)
    standing = dropped.filter(pc.equal(dropped["stage"], TAKEDOWN))
    dropped, early = take_out(dropped.filter(pc.not_equal(dropped["stage"], TAKEDOWN)), staged.listed)
    if judged.num_rows or early.num_rows:
        gone = pc.is_in(keys["warc_offset"], value_set=judged["warc_offset"].combine_chunks())
        keys = keys.filter(pc.invert(gone))
        dropped = pa.concat_tables(map(_plain, (dropped, standing, judged, early))).sort_by(ROW_ORDER)
        for folder, table, declared in (
            ("extracted", extracted, schema.EXTRACTED),
            ("dropped", dropped, schema.REJECT),
            ("keys", keys, declared_schema(keys.schema)),
        ):
            new.write_table(table_name(folder, unit), table.combine_chunks().cast(declared), declared)
        manifest = Manifest(store, PHASE)
        whole = manifest.whole(unit)
        assert whole, f"{unit} is finished"
        manifest.amend(whole, new, whole["report"] | {"funnel": _funnel(extracted, dropped)})
    return staged.records(UNITS).finish(unit, staged.digest, [], {"pages": judged.num_rows + early.num_rows})


def declared_schema(read: pa.Schema) -> pa.Schema:
    """The schema that a parquet file was written by, from the one that it is read with."""
    return pa.schema([field.with_metadata(_own(field.metadata)) for field in read])


def _own(metadata: dict[bytes, bytes] | None) -> dict[bytes, bytes] | None:
    own = {name: value for name, value in (metadata or {}).items() if name != b"PARQUET:field_id"}
    return own or None


def _plain(rejects: pa.Table) -> pa.Table:
    """Rejects with their stages as plain strings, fit to be joined with others."""
    place = rejects.schema.get_field_index("stage")
    return rejects.set_column(place, "stage", rejects["stage"].cast(pa.string())).replace_schema_metadata(None)


def _funnel(extracted: pa.Table, dropped: pa.Table) -> dict[str, int]:
    stages = Counter(extracted["verdict_stage"].fill_null("kept").to_pylist())
    return dict(stages + Counter(dropped["stage"].to_pylist()))
