"""Phase one, for one unit: a WARC in, decided pages out.

Tables of a unit below `work/`: `extracted/` (every page that reached extraction), `dropped/` (pages that a gate before
it stopped), `damage/` (byte ranges that could not be read), `keys/` (what deduplication needs of the pages that pass).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.capture import CAPTURE_TYPES, Capture
from pipeline.file_report import FileReport
from pipeline.guard import Poisoned
from pipeline.inputs import Input
from pipeline.manifest import Manifest
from pipeline.recipe import Recipe
from pipeline.store import Store
from pipeline.tools import Tools, open_tools
from pipeline.warc import read_captures
from stages import keys, schema
from stages.cascade import first_verdict
from stages.decide import Decision, decide
from stages.pages import EARLY_STAGES, Page, PageResult
from stages.verdicts import Verdict

PHASE = "extract"
NAME_CHARS = 100  # of a unit's name; its key tells it apart, and file names may not be long
BATCH_PAGES = 256
BATCH_BYTES = 32 << 20
ROW_ORDER = [("id", "ascending"), ("warc_offset", "ascending")]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One input file to extract."""

    input: Input
    fingerprint: str

    @functools.cached_property
    def key(self) -> str:
        """Digest of all that the unit's output depends on, as 16 hex digits."""
        parts = f"{self.input.warc_path}\0{self.input.size}\0{self.input.digest}\0{self.fingerprint}"
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()

    @property
    def name(self) -> str:
        """File name of the unit's tables and of its record."""
        return f"{Path(self.input.warc_path).name[:NAME_CHARS]}-{self.key}"


def table_name(folder: str, unit_name: str) -> str:
    """Where a unit's table lies."""
    return f"work/{folder}/{unit_name}.parquet"


def extract_unit(unit: Unit, *, output: Path, recipe: Recipe) -> dict[str, Any]:
    """Read, sieve and measure one unit; write its tables, then its manifest record, which is returned."""
    store = Store(output)
    manifest = Manifest(store, PHASE)
    if record := manifest.done(unit.name, unit.key):
        return record
    sieve = Sieve(unit.input, open_tools(recipe, output, unit.fingerprint))
    report = sieve.run()
    return finish_unit(manifest, unit.name, unit.key, sieve, report)


def finish_unit(manifest: Manifest, name: str, key: str, sieve: Sieve, report: dict[str, Any]) -> dict[str, Any]:
    """Write a unit's tables, then its manifest record, which is returned."""
    started_s = time.process_time()
    files = []
    for folder, rows in sieve.tables.items():
        files.append(table_name(folder, name))
        manifest.store.write_table(files[-1], rows.table(), rows.schema)
    report["cpu_s"]["write"] = time.process_time() - started_s
    return manifest.finish(name, key, files, report)


@dataclass
class _Rows:
    """A table as it grows; its rows are sorted at the end, so that they do not depend on batches."""

    schema: pa.Schema
    order: list[tuple[str, str]]
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self.batches.append(batch)

    def table(self) -> pa.Table:
        return pa.Table.from_batches(self.batches, self.schema).sort_by(self.order).combine_chunks()


class Sieve:
    """One pass over one input; fills `tables`, by folder."""

    def __init__(self, source: Input, tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._geometry = tools.recipe.minhash.geometry
        self._cpu_s: defaultdict[str, float] = defaultdict(float)
        self._funnel: Counter[str] = Counter()
        self._poisoned = 0
        self._lines: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._masked: Counter[str] = Counter()
        self.tables = {
            "extracted": _Rows(schema.EXTRACTED, ROW_ORDER),
            "dropped": _Rows(schema.REJECT, ROW_ORDER),
            "damage": _Rows(schema.DAMAGE, [("start", "ascending")]),
            "keys": _Rows(keys.schema(self._geometry), ROW_ORDER),
        }

    def run(self) -> dict[str, Any]:
        """Read the whole input; return the unit's report."""
        report = FileReport()
        started_s, child_s = time.process_time(), self._tools.guard.cpu_s
        with Path(self._source.path).open("rb") as raw:
            stream = _Hashing(raw)
            captures = read_captures(
                cast(BinaryIO, stream),
                warc_path=self._source.warc_path,
                size=self._source.size,
                limits=self._tools.recipe.reader,
                report=report,
            )
            self.take(captures)
        self._add_damage(report)
        self._cpu_s["read"] = time.process_time() - started_s - sum(self._cpu_s.values())
        self._cpu_s["pages"] += self._tools.guard.cpu_s - child_s
        return self._report(report, stream.hexdigest())

    def take(self, captures: Iterable[Capture]) -> None:
        """Sieve captures, batch by batch."""
        for batch in _batches(captures):
            self._sieve(batch)

    def _sieve(self, batch: pa.RecordBatch) -> None:
        with self.clock("gates"):
            verdicts, steps = first_verdict(batch, self._tools.gates)
            self.drop(batch.filter(steps.is_valid()), verdicts.drop_null(), steps.drop_null())
            batch = batch.filter(steps.is_null())
        with self.clock("pages"):  # this side of the pipe
            pages = _page_table(batch, [self._settle(result) for result in self._tools.guard.map(_pages(batch))])
        with self.clock("text"):
            early = pc.fill_null(pc.is_in(pages.column("verdict_stage"), pa.array(EARLY_STAGES)), False)
            stopped = pages.filter(early)
            self.drop(stopped, stopped.column("verdict"), stopped.column("verdict_stage"))
            self.keep(decide(pages.filter(pc.invert(early)), self._tools.text))

    def _settle(self, result: PageResult | Poisoned) -> PageResult:
        """A page that killed its process is a reject like others, counted."""
        if isinstance(result, PageResult):
            return result
        self._poisoned += 1
        return PageResult(stage="extract", verdict=Verdict(result.reason, detail=result.detail))

    def carry(self, rejects: pa.RecordBatch) -> None:
        """Take in pages that were dropped before, in the schema `REJECT`."""
        self.tables["dropped"].add(rejects)
        self._funnel.update(rejects.column("stage").to_pylist())

    def keep(self, decision: Decision) -> None:
        """Take in pages that reached extraction, decided."""
        decided = decision.pages
        self.tables["extracted"].add(decided)
        self._masked.update(decision.masked)
        for language, rules in decision.lines.items():
            self._lines[language].update(rules)
        passing = decided.filter(decided.column("verdict_stage").is_null())
        self.tables["keys"].add(keys.keys_of(passing, self._geometry))
        self._funnel["kept"] += passing.num_rows
        self._funnel.update(decided.column("verdict_stage").drop_null().to_pylist())

    def drop(self, pages: pa.RecordBatch, verdicts: pa.Array, steps: pa.Array) -> None:
        """Take in pages that a step before extraction dropped, each with its verdict and that step."""
        columns = {field.name: pc.struct_field(verdicts, field.name) for field in schema.VERDICT}
        columns["stage"] = steps.dictionary_encode()
        if "text" in pages.schema.names:
            columns["text"] = pc.utf8_slice_codeunits(pages.column("text"), 0, schema.REJECT_TEXT_CHARS)
        else:
            columns["text"] = pa.array([""] * pages.num_rows, pa.string())
        self.tables["dropped"].add(_fill(pages, columns, schema.REJECT))
        self._funnel.update(steps.to_pylist())

    def _add_damage(self, report: FileReport) -> None:
        rows = [
            {"warc_path": self._source.warc_path, "start": d.start, "end": d.end, "reason": d.reason, "url": d.url}
            for d in report.damaged
        ]
        self.tables["damage"].add(pa.RecordBatch.from_pylist(rows, schema.DAMAGE))

    def _report(self, report: FileReport, full_digest: str) -> dict[str, Any]:
        return {
            "warc_path": self._source.warc_path,
            "full_digest": full_digest,
            "size": report.stream_size,
            "record_bytes": report.record_bytes,
            "padding_bytes": report.padding_bytes,
            "damaged_bytes": report.damaged_bytes,
            "damaged_ranges": len(report.damaged),
            "first_damage": report.damaged[0].reason if report.damaged else None,
            "single_stream": report.single_stream,
            "counts": dict(report.types),
            "captures": sum(report.types[kind] for kind in CAPTURE_TYPES),
            **self.decided(),
        }

    def decided(self) -> dict[str, Any]:
        """The part of the report that depends on the recipe."""
        return {
            "funnel": dict(self._funnel),
            "poisoned": self._poisoned,
            "lines": {language: dict(rules) for language, rules in sorted(self._lines.items())},
            "masked": dict(self._masked),
            "cpu_s": dict(self._cpu_s),
        }

    @contextlib.contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Count the block's CPU time under `name`."""
        started_s = time.process_time()
        yield
        self._cpu_s[name] += time.process_time() - started_s


class _Hashing:
    """A binary stream that digests what is read from it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._state = hashlib.blake2b(digest_size=16)

    def read(self, n: int = -1) -> bytes:
        data = self._raw.read(n)
        self._state.update(data)
        return data

    def hexdigest(self) -> str:
        return self._state.hexdigest()


def _batches(captures: Iterable[Capture]) -> Iterator[pa.RecordBatch]:
    rows: list[Capture] = []
    size_bytes = 0
    for capture in captures:
        rows.append(capture)
        size_bytes += len(capture.payload)
        if len(rows) == BATCH_PAGES or size_bytes >= BATCH_BYTES:
            yield _record_batch(rows)
            rows, size_bytes = [], 0
    if rows:
        yield _record_batch(rows)


def _record_batch(captures: list[Capture]) -> pa.RecordBatch:
    columns = [pa.array([getattr(capture, f.name) for capture in captures], f.type) for f in schema.RECORD]
    return pa.RecordBatch.from_arrays(columns, schema=schema.RECORD)


def _pages(batch: pa.RecordBatch) -> Iterator[Page]:
    for row in batch.select(["url", "payload", "charset", "content_type", "record_type"]).to_pylist():
        yield Page(
            url=row["url"],
            payload=row["payload"],
            http_charset=row["charset"],
            content_type=row["content_type"],
            record_type=row["record_type"],
        )


def _page_table(batch: pa.RecordBatch, results: list[PageResult]) -> pa.RecordBatch:
    columns = {
        "text": pa.array([result.text for result in results], pa.string()),
        "language": pa.array([result.language for result in results], pa.string()),
        "language_score": pa.array([result.language_score for result in results], pa.float32()),
        "language_decided_by": pa.array([result.decided_by for result in results], pa.string()),
        "opt_out": pa.array(
            [
                sorted(result.opt_out.union(header))
                for result, header in zip(results, batch.column("opt_out").to_pylist(), strict=True)
            ],
            schema.RECORD.field("opt_out").type,
        ),
        "verdict": pa.array([result.verdict and result.verdict._asdict() for result in results], schema.VERDICT),
        "verdict_stage": pa.array([result.stage for result in results], pa.string()),
    }
    return _fill(batch, columns, schema.PAGE)


def _fill(batch: pa.RecordBatch, columns: dict[str, pa.Array], declared: pa.Schema) -> pa.RecordBatch:
    """A batch of `declared`: each column from `columns`, else from `batch`, else null."""
    arrays = []
    for f in declared:
        if f.name in columns:
            arrays.append(columns[f.name].cast(f.type))
        elif f.name in batch.schema.names:
            arrays.append(batch.column(f.name).cast(f.type))
        else:
            arrays.append(pa.nulls(batch.num_rows, f.type))
    return pa.RecordBatch.from_arrays(arrays, schema=declared)
