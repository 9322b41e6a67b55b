"""Writing documents as parquet shards, with the columns of the document schema and what an import adds to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from mixtures.files import written_whole
from mixtures.sources.document import Document, Dropped, Item, document_id


def _field(name: str, kind: pa.DataType, doc: str, *, unit: str = "", nullable: bool = True) -> pa.Field:
    metadata = {"doc": doc} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=nullable, metadata=metadata)


SHARED: Final = [
    _field("id", pa.string(), "BLAKE2b-128 of the kind and the source's own key, as 32 hex digits", nullable=False),
    _field("text", pa.string(), "the document", nullable=False),
    _field("url", pa.string(), "address at the source; empty where it cannot be told", nullable=False),
    _field("language", pa.string(), "ISO 639-1, where the source says it"),
    _field("language_score", pa.float32(), "null: nobody measured it", unit="1"),
    _field("crawl", pa.string(), "null: not of a crawl"),
    _field("fetch_time", pa.timestamp("us", "UTC"), "null: not known"),
    _field("warc_path", pa.string(), "null: not of a WARC file"),
    _field("warc_offset", pa.int64(), "null, likewise", unit="byte"),
    _field("warc_length", pa.int64(), "null, likewise", unit="byte"),
    _field("cluster_size", pa.int64(), "null: not deduplicated yet"),
]
"""Columns that curation publishes, too, under these names and types (tests/test_contract.py)."""

ADDED: Final = [
    _field("source", pa.string(), "corpus, and the part of it: stackexchange/math.stackexchange.com", nullable=False),
    _field("licence", pa.string(), "as the source states it; of several, separated by '; '"),
    _field("title", pa.string(), "title, where there is one"),
    _field("code_language", pa.string(), "programming language, of code"),
    _field(
        "repeated_prefix",
        pa.int64(),
        "bytes at the beginning of `text` that an earlier document of the same conversation has, too",
        unit="byte",
        nullable=False,
    ),
]
SCHEMA: Final = pa.schema([*SHARED, *ADDED])

_EXAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class ShardLimits:
    """When a row group and a shard are full: in rows, in bytes of text."""

    group_rows: int = 4096
    group_bytes: int = 32 << 20
    shard_bytes: int = 512 << 20


@dataclass(kw_only=True)
class Tally:
    """What became of the records of a unit, or of several."""

    documents: int = 0
    records_used: int = 0
    text_bytes: int = 0
    repeated_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    damaged: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    """Where damaged records lie, and why they count as damaged; the first hundred."""

    @property
    def records(self) -> int:
        """All records that were met."""
        return self.records_used + self.dropped.total() + self.damaged.total()

    def leave(self, dropped: Dropped) -> None:
        """Count records that are in no document."""
        (self.damaged if dropped.damaged else self.dropped)[dropped.reason] += dropped.records
        if dropped.damaged and len(self.examples) < _EXAMPLES:
            self.examples.append(f"{dropped.place}: {dropped.reason}" if dropped.place else dropped.reason)

    def take(self, document: Document, n_bytes: int) -> None:
        """Count a document of `n_bytes` of text."""
        self.documents += 1
        self.records_used += document.records
        self.text_bytes += n_bytes
        self.repeated_bytes += document.repeated_prefix

    def add(self, report: dict[str, Any]) -> None:
        """Count in what `report` of another tally said."""
        for name in ("documents", "records_used", "text_bytes", "repeated_bytes"):
            setattr(self, name, getattr(self, name) + report[name])
        for name in ("dropped", "damaged", "noted"):
            getattr(self, name).update(report[name])
        self.examples += report["examples"][: _EXAMPLES - len(self.examples)]

    def report(self) -> dict[str, Any]:
        """The counts as JSON holds them."""
        counts = {name: dict(sorted(getattr(self, name).items())) for name in ("dropped", "damaged", "noted")}
        numbers = {name: getattr(self, name) for name in ("documents", "records_used", "text_bytes", "repeated_bytes")}
        return {"records": self.records, **numbers, **counts, "examples": self.examples}


def write_shards(
    items: Iterable[Item], kind: str, folder: Path, stem: str, limits: ShardLimits | None = None
) -> tuple[list[str], Tally]:
    """Write the documents of `items` as `folder/stem-000.parquet` and on; returns the files' names and the counts.

    A unit without documents has no file. Equal items give equal bytes.
    """
    tally, names = Tally(), list[str]()
    with ExitStack() as stack:
        shard: _Shard | None = None
        for item in items:
            if isinstance(item, Dropped):
                tally.leave(item)
            elif isinstance(item, Document):
                if shard is None:
                    names.append(f"{stem}-{len(names):03d}.parquet")
                    shard = _Shard(folder / names[-1], limits or ShardLimits(), stack)
                tally.take(item, shard.add(kind, item))
                if shard.is_full():
                    stack.pop_all().close()
                    shard = None
            else:
                tally.noted[item.what] += item.records
    return names, tally


class _Shard:
    """A shard while it is being written."""

    def __init__(self, path: Path, limits: ShardLimits, stack: ExitStack) -> None:
        self._limits = limits
        file = stack.enter_context(written_whole(path))
        self._writer = stack.enter_context(
            parquet.ParquetWriter(
                file, SCHEMA, compression="zstd", compression_level=3, write_page_index=True, version="2.6"
            )
        )
        stack.callback(self._flush)
        self._waiting: list[dict[str, Any]] = []
        self._waiting_bytes = self._n_bytes = 0

    def add(self, kind: str, document: Document) -> int:
        """Add a document; returns the bytes of its text."""
        n_bytes = len(document.text.encode())
        self._waiting.append(_row(kind, document))
        self._waiting_bytes += n_bytes
        self._n_bytes += n_bytes
        if len(self._waiting) >= self._limits.group_rows or self._waiting_bytes >= self._limits.group_bytes:
            self._flush()
        return n_bytes

    def is_full(self) -> bool:
        """Whether the next document belongs into another shard."""
        return self._n_bytes >= self._limits.shard_bytes

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_pylist(self._waiting, SCHEMA)
            self._writer.write_table(table, row_group_size=len(self._waiting))
            self._waiting, self._waiting_bytes = [], 0


def _row(kind: str, document: Document) -> dict[str, Any]:
    return {
        "id": document_id(kind, document.key),
        "text": document.text,
        "url": document.url,
        "language": document.language,
        "source": document.source,
        "licence": document.licence,
        "title": document.title,
        "code_language": document.code_language,
        "repeated_prefix": document.repeated_prefix,
    }
