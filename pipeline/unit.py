"""Phase one, for one unit: a WARC, or a range of one, in; decided pages out.

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.block_digest import DigestingReader
from pipeline.capture import CAPTURE_TYPES, Capture
from pipeline.document_files import is_document_file, read_documents
from pipeline.file_report import FileReport
from pipeline.guard import Poisoned
from pipeline.inputs import Input
from pipeline.manifest import Manifest
from pipeline.recipe import Recipe
from pipeline.span import WHOLE, Seam, Span
from pipeline.store import Store
from pipeline.tools import Tools, open_tools
from pipeline.unit_range import find_span, span_end
from pipeline.warc import Readable, read_captures, read_head
from pipeline.warc_record import ReadLimits
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
    """One input file to extract, or a range of one.

    begin, end: the range of the cuts in the file, in bytes; `end` is None for the whole file. The unit reads from the
    first record that begins in it, or from `seam` where that has turned out to be wrong.
    """

    input: Input
    fingerprint: str
    begin: int = 0
    end: int | None = None
    seam: Seam | None = None

    @functools.cached_property
    def key(self) -> str:
        """Digest of all that the unit's output depends on, as 16 hex digits."""
        parts = f"{self.input.warc_path}\0{self.input.size}\0{self.input.digest}\0{self.fingerprint}"
        if self.end is not None:
            parts += f"\0{self.begin}-{self.end}"
        if self.seam:
            parts += f"\0{self.seam.position}\0{self.seam.search}\0{self.seam.crawl}"
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
    report = sieve.run(unit)
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
    """One pass over one unit; fills `tables`, by folder."""

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

    def run(self, unit: Unit) -> dict[str, Any]:
        """Read the unit; return its report."""
        report, limits = FileReport(), self._tools.recipe.reader
        started_s, child_s = time.process_time(), self._tools.guard.cpu_s
        with Path(unit.input.path).open("rb") as raw:
            span = _span_of(unit, raw, limits)
            raw.seek(unit.begin)
            stream = DigestingReader(raw, unit.begin, unit.input.size if unit.end is None else unit.end)
            if span:
                stream.skip_to(span.start.position if span.start else 0)
                self.take(captures_of(unit.input, stream, span, report, limits))
            blocks = stream.finish()
        self._add_damage(report)
        self._cpu_s["read"] = time.process_time() - started_s - sum(self._cpu_s.values())
        self._cpu_s["pages"] += self._tools.guard.cpu_s - child_s
        return self._report(report) | {"span": span and _span_report(span, report, unit.input.size), "blocks": blocks}

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

    def _report(self, report: FileReport) -> dict[str, Any]:
        return {
            "warc_path": self._source.warc_path,
            "size": report.stream_size - report.start,
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


def captures_of(
    source: Input, stream: Readable, span: Span, report: FileReport, limits: ReadLimits
) -> Iterator[Capture]:
    """The captures of a part of an input, from a stream that stands at its beginning."""
    if is_document_file(source.path):
        return read_documents(stream, Path(source.path), warc_path=source.warc_path, report=report, limits=limits)
    return read_captures(stream, warc_path=source.warc_path, size=source.size, limits=limits, report=report, span=span)


def _span_of(unit: Unit, raw: BinaryIO, limits: ReadLimits) -> Span | None:
    """What a unit reads; None where no record begins in its range."""
    if unit.end is None:
        return WHOLE
    head = read_head(raw, warc_path=unit.input.warc_path, limits=limits)
    if unit.seam is None:
        return find_span(raw, unit.begin, unit.end, head=head, size=unit.input.size, limits=limits)
    until = span_end(raw, unit.end, codec=head.codec, size=unit.input.size, limits=limits)
    return Span(start=unit.seam, until=until, codec=head.codec)


def _span_report(span: Span, report: FileReport, size: int) -> dict[str, Any]:
    """Where the unit began, where it was to stop, and where it did."""
    assert report.end, "the file was read"
    return {
        "start": asdict(span.start) if span.start else None,
        "until": size if span.until is None else span.until,
        "end": asdict(report.end),
    }


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
