"""The two tasks on a file: reading its documents for deduplication, and writing it anew without the copies.

A document's id says where it is: eight digits for the set of inputs, eight for the file's number among them, sixteen
for the row, in hexadecimal. So without dates the first row of the first file by name is the one that stays.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.corpus.files import BATCH_ROWS, Batch, Columns, Reader, open_file
from pipeline.dedup.decisions import removed_name, spans_name
from pipeline.groups import PAGE_BYTES, Source
from pipeline.inputs import Input
from pipeline.manifest import Manifest
from pipeline.recipe import Recipe
from pipeline.run import run_key
from pipeline.store import Store
from pipeline.unit import Unit, table_name
from pipeline.warc_record import parse_date
from stages import keys, schema
from stages.substrings import cut

READ, WRITTEN = "read", "documents"
PREFIX_DIGITS = 8
REMOVED = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False, metadata={"doc": "row of the input, counted from 0"}),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("kept_file", pa.string(), metadata={"doc": "input that holds the document kept for it"}),
        pa.field("kept_row", pa.int64()),
        pa.field("kept_id", pa.string(), metadata={"doc": "its id; of another run, where the two before are null"}),
    ]
)
"""`removed/<file>.parquet`: the rows of a file that are left out."""

_TEXTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("warc_path", pa.string(), nullable=False),
        pa.field("warc_offset", pa.int64(), nullable=False),
        pa.field("corrected", pa.string(), nullable=False),
        pa.field("verdict_stage", pa.string()),
        pa.field("url", pa.string(), nullable=False),
        pa.field("crawl", pa.string(), nullable=False),
        pa.field("fetch_time", pa.timestamp("us", "UTC")),
        pa.field("language", pa.string(), nullable=False),
    ]
)
_NONE_DROPPED = pa.schema([_TEXTS.field(name) for name in ("id", "warc_path", "warc_offset")])


@dataclass(frozen=True, kw_only=True)
class CorpusFile:
    """One input among others. prefix: what all ids of the run begin with."""

    input: Input
    number: int
    prefix: str
    columns: Columns
    fingerprint: str

    @property
    def unit(self) -> Unit:
        """Names its tables and its record."""
        return Unit(input=self.input, fingerprint=f"{self.fingerprint} {self.prefix} {self.number}")

    def part_name(self, number: int) -> str:
        """Names the tables of a part of its documents."""
        return f"{self.unit.name}-{number:06d}"

    def open(self) -> Reader:
        """Its rows."""
        return open_file(Path(self.input.path), self.columns)

    def ids(self, rows: Any) -> pa.Array:
        """Ids of rows."""
        head = f"{self.prefix}{self.number:08x}"
        return pa.array([f"{head}{row:016x}" for row in rows], pa.string())


def id_prefix(inputs: Sequence[Input]) -> str:
    """Names a set of inputs, so that ids of several runs beside one index do not meet."""
    return run_key("", inputs)[:PREFIX_DIGITS]


def place_of(page_id: str, prefix: str) -> tuple[int, int] | None:
    """(number of the file, row) of an id; None for one of another run."""
    if not page_id.startswith(prefix):
        return None
    return int(page_id[PREFIX_DIGITS:16], 16), int(page_id[16:], 16)


def read_file(file: CorpusFile, *, output: Path, recipe: Recipe) -> dict[str, Any]:
    """Write what deduplication needs of a file's documents; rows without a text are no documents.

    The tables are cut into parts of a group's size each, however large the file is.
    """
    store, unit = Store(output), file.unit
    manifest = Manifest(store, READ)
    if record := manifest.done(unit.name, unit.key):
        return record
    started_s = time.process_time()
    counted: Counter[str] = Counter()
    files: list[str] = []
    parts: list[dict[str, int]] = []
    batches = _texts(file, counted)
    ahead = next(batches, _TEXTS.empty_table())
    while ahead is not None:
        part = Counter[str]()
        tables = _up_to_a_group(chain([ahead], batches), recipe.dedup.group_pages, part)
        files += _write_part(store, file.part_name(len(parts)), tables, recipe)
        parts.append(dict(part))
        ahead = next(batches, None)
    report = {"rows": counted["rows"], "parts": parts, "cpu_s": time.process_time() - started_s}
    return manifest.finish(unit.name, unit.key, files, report)


def sources_of(file: CorpusFile, record: dict[str, Any]) -> list[Source]:
    """The parts of a file that was read."""
    return [
        Source(file.part_name(number), file.input.warc_path, part["documents"], part["documents"], part["bytes"])
        for number, part in enumerate(record["report"]["parts"])
    ]


def write_file(
    file: CorpusFile, *, output: Path, recipe: Recipe, groups: Sequence[int], names: tuple[str, ...], key: str
) -> dict[str, Any]:
    """Write a file anew, and what is removed of it. groups: those of its documents. names: of all inputs."""
    store, path = Store(output), file.input.warc_path
    manifest = Manifest(store, WRITTEN)
    if record := manifest.done(file.unit.name, key):
        return record
    started_s = time.process_time()
    removed = pa.concat_tables(_of_file(store, removed_name(group), file) for group in groups).combine_chunks()
    spans = pa.concat_tables(pq.read_table(store.path(spans_name(group)), partitioning=None) for group in groups)
    mine = pc.starts_with(spans["id"], f"{file.prefix}{file.number:08x}")
    spans = spans.filter(mine) if _cuts(recipe) else schema.SPAN.empty_table()
    n_written = 0
    reader = file.open()
    with store.writing(f"{WRITTEN}/{path}") as target, reader.writing(target) as out:
        for batch in reader.batches():
            rows = np.arange(batch.start, batch.start + len(batch.text))
            kept = np.flatnonzero(~np.isin(rows, removed["warc_offset"].to_numpy()))
            text = batch.text.take(pa.array(kept))
            out.write(batch, kept, cut(file.ids(rows[kept]), text, spans).text if spans.num_rows else text)
            n_written += kept.size
    files = [f"{WRITTEN}/{path}", f"removed/{path}.parquet"]
    store.write_table(files[1], _removed_rows(removed, file.prefix, names), REMOVED)
    report = {
        "rows": n_written,
        "stages": dict(Counter(removed["stage"].to_pylist())),
        "cpu_s": time.process_time() - started_s,
    }
    return manifest.finish(file.unit.name, key, files, report)


def _cuts(recipe: Recipe) -> bool:
    return recipe.substrings is not None and recipe.substrings.mode == "cut"


def _of_file(store: Store, name: str, file: CorpusFile) -> pa.Table:
    wanted = pc.field("warc_path") == file.input.warc_path
    return pq.read_table(store.path(name), filters=wanted, partitioning=None).sort_by("warc_offset")


def _removed_rows(removed: pa.Table, prefix: str, names: tuple[str, ...]) -> pa.Table:
    ids = removed["detail"].to_pylist()
    places = [place_of(page_id, prefix) if page_id else None for page_id in ids]
    columns = [
        removed["warc_offset"],
        *(removed[name] for name in ("stage", "rule", "value", "threshold")),
        pa.array([place and names[place[0]] for place in places], pa.string()),
        pa.array([place and place[1] for place in places], pa.int64()),
        removed["detail"],
    ]
    return pa.Table.from_arrays(columns, schema=REMOVED)


def _texts(file: CorpusFile, counted: Counter[str]) -> Iterator[pa.Table]:
    reader = file.open()
    for batch in reader.batches():
        rows = np.flatnonzero(batch.text.is_valid().to_numpy(zero_copy_only=False))
        counted.update(rows=len(batch.text))
        yield _text_table(file, reader, batch, rows)


def _up_to_a_group(tables: Iterable[pa.Table], pages: int, part: Counter[str]) -> Iterator[pa.Table]:
    """The first tables that make a group, counted in `part`; nothing behind them is taken."""
    part.update(documents=0, bytes=0)
    for table in tables:
        part.update(documents=table.num_rows, bytes=table["corrected"].nbytes)
        yield table
        if part["documents"] >= pages or part["bytes"] >= pages * PAGE_BYTES:
            return


def _write_part(store: Store, name: str, tables: Iterable[pa.Table], recipe: Recipe) -> list[str]:
    names = [table_name(folder, name) for folder in ("extracted", "keys", "dropped")]
    store.write_tables(names[0], _TEXTS, tables)
    store.write_tables(names[1], keys.schema(recipe.minhash.geometry), _keys(store.path(names[0]), recipe))
    store.write_table(names[2], _NONE_DROPPED.empty_table(), _NONE_DROPPED)
    return names


def _text_table(file: CorpusFile, reader: Reader, batch: Batch, rows: Any) -> pa.Table:
    n = rows.size
    urls, dates, languages = (
        [reader.column(batch, name)[row] for row in rows.tolist()]
        for name in (file.columns.url, file.columns.date, file.columns.language)
    )
    return pa.Table.from_arrays(
        [
            file.ids(batch.start + rows),
            pa.array([file.input.warc_path] * n, pa.string()),
            pa.array(batch.start + rows),
            batch.text.take(pa.array(rows)).cast(pa.string()),
            pa.nulls(n, pa.string()),
            pa.array([_plain(url) for url in urls], pa.string()),
            pa.array([""] * n, pa.string()),
            pa.array([_time(date) for date in dates], pa.timestamp("us", "UTC")),
            pa.array([_plain(language) for language in languages], pa.string()),
        ],
        schema=_TEXTS,
    )


def _keys(texts: Path, recipe: Recipe) -> Iterator[pa.Table]:
    geometry = recipe.minhash.geometry
    yield keys.schema(geometry).empty_table()
    with pq.ParquetFile(texts) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            yield pa.Table.from_batches([keys.keys_of(batch, geometry)])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC)
    return parse_date(value) if isinstance(value, str) else None
