"""Files of documents as rows: parquet, or JSON lines, plain or compressed. A row is known by its number.

What is written has the format of what was read: parquet with the same schema, JSON lines with the same lines but for
those whose text changed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from numpy.typing import NDArray

from pipeline.document_files import inflated
from pipeline.errors import UsageError, WorkError

BATCH_ROWS = 256
BATCH_BYTES = 32 << 20
PARQUET = ".parquet"
LEVEL = 3

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Where a document's text, address, date and language stand; None for those that are not there."""

    text: str
    url: str | None = None
    date: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some rows of a file: the number of the first, the text of each (null where it has none), and all they hold."""

    start: int
    text: pa.Array
    rows: Any


class Reader(Protocol):
    """The rows of one file."""

    def batches(self) -> Iterator[Batch]:
        """All rows, in order."""
        ...

    def column(self, batch: Batch, name: str | None) -> list[Any]:
        """The values of a column, None where there is none."""
        ...

    def writing(self, path: Path) -> Any:
        """A context whose value writes rows: `write(batch, kept rows of it, their texts)`."""
        ...


def open_file(path: Path, columns: Columns) -> Reader:
    """The rows of a file; UsageError where it has no column of texts."""
    return _Parquet(path, columns) if path.suffix == PARQUET else _Lines(path, columns)


class _Parquet:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._path, self._columns = path, columns
        try:
            self._schema = pq.read_schema(path)
        except pa.ArrowException as error:
            raise UsageError(f"{path}: not a parquet file ({error})") from error
        if columns.text not in self._schema.names:
            raise UsageError(
                f"{path}: no column {columns.text!r} (it has {', '.join(self._schema.names)}); name one with --text"
            )
        kind = self._schema.field(columns.text).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise UsageError(f"{path}: column {columns.text!r} is {kind}, not text; name another with --text")

    def batches(self) -> Iterator[Batch]:
        start = 0
        with pq.ParquetFile(self._path) as file:
            for rows in file.iter_batches(BATCH_ROWS):
                yield Batch(start=start, text=rows.column(self._columns.text), rows=rows)
                start += rows.num_rows

    def column(self, batch: Batch, name: str | None) -> list[Any]:
        if name is None or name not in batch.rows.schema.names:
            return [None] * batch.rows.num_rows
        return list(batch.rows.column(name).to_pylist())

    @contextmanager
    def writing(self, path: Path) -> Iterator[_ParquetOut]:
        with pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=LEVEL) as writer:
            out = _ParquetOut(writer, self._schema, self._columns.text)
            yield out
            out.flush()


class _ParquetOut:
    """Gathers batches into row groups of a common size."""

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema, text: str) -> None:
        self._writer, self._schema, self._text = writer, schema, text
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: Batch, kept: Rows, text: pa.Array) -> None:
        rows = batch.rows.take(pa.array(kept))
        place = self._schema.get_field_index(self._text)
        columns = [*rows.columns[:place], text.cast(self._schema.field(place).type), *rows.columns[place + 1 :]]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        if sum(map(len, self._waiting)) >= 16 * BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema))
        self._waiting = []


class _Lines:
    def __init__(self, path: Path, columns: Columns) -> None:
        self._path, self._columns = path, columns

    def batches(self) -> Iterator[Batch]:
        start = 0
        with self._path.open("rb") as file:
            stream = inflated(file, self._path)
            while lines := list(_some(stream)):
                rows = [self._parsed(line, start + number) for number, line in enumerate(lines)]
                texts = pa.array([_text(row.get(self._columns.text)) for row in rows], pa.string())
                yield Batch(start=start, text=texts, rows=list(zip(lines, rows, strict=True)))
                start += len(lines)

    def column(self, batch: Batch, name: str | None) -> list[Any]:
        return [row.get(name) if name else None for _, row in batch.rows]

    @contextmanager
    def writing(self, path: Path) -> Iterator[_LinesOut]:
        with _deflated(path, self._path.suffix) as stream:
            yield _LinesOut(stream, self._columns.text)

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        """A document; an empty line is one without a text, so that it is kept."""
        if not line.strip():
            return {}
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise WorkError(f"{self._path}, line {number + 1}: not JSON ({error}); mend or delete the line") from error
        if not isinstance(row, dict):
            raise WorkError(f"{self._path}, line {number + 1}: not a JSON object; mend or delete the line")
        return row


class _LinesOut:
    def __init__(self, stream: BinaryIO, text: str) -> None:
        self._stream, self._text = stream, text

    def write(self, batch: Batch, kept: Rows, text: pa.Array) -> None:
        for number, now in zip(kept.tolist(), text.to_pylist(), strict=True):
            line, row = batch.rows[number]
            if now is not None and now != row[self._text]:
                line = json.dumps({**row, self._text: now}, ensure_ascii=False).encode() + b"\n"
            self._stream.write(line)


def _text(value: Any) -> str | None:
    """A text as Arrow can hold it: lone surrogates, which JSON can spell, are replaced."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _some(stream: BinaryIO) -> Iterator[bytes]:
    """The next lines, fewer where they are long."""
    n_lines = n_bytes = 0
    while n_lines < BATCH_ROWS and n_bytes < BATCH_BYTES and (line := stream.readline()):
        yield line if line.endswith(b"\n") else line + b"\n"
        n_lines += 1
        n_bytes += len(line)


@contextmanager
def _deflated(path: Path, suffix: str) -> Iterator[BinaryIO]:
    with path.open("wb") as raw:
        if suffix == ".gz":
            with gzip.GzipFile("", "wb", LEVEL, raw, mtime=0) as stream:  # no name and no time: same bytes
                yield cast(BinaryIO, stream)
        elif suffix == ".zst":
            with zstandard.ZstdCompressor(LEVEL).stream_writer(raw, closefd=False) as stream:
                yield cast(BinaryIO, stream)
        else:
            yield raw
