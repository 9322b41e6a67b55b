"""Rows of JSON lines and parquet files: mappings of column names to values, each with its place."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pyarrow import parquet

from mixtures.documents import without_surrogates
from mixtures.sources.document import Dropped
from mixtures.sources.inputs import Source
from mixtures.sources.streams import Piece, cannot_go_on, lines, unpacked_name

# A packed .json is one of lines, as C4's and Dolma's are; a plain one is mostly a description of a data set.
PATTERN: Final = r"\.(parquet|(jsonl|ndjson)(\.(gz|bz2|xz|zst))?|json\.(gz|bz2|xz|zst))$"
SAID: Final = ".parquet, or .jsonl or .ndjson, plain or packed as .gz, .bz2, .xz or .zst, or .json packed so"
_BATCH: Final = 64  # files of code may have a megabyte each


class Row(NamedTuple):
    """One row."""

    place: str
    values: dict[str, Any]


def is_parquet(source: Source) -> bool:
    """Whether the input is a parquet file, by its name."""
    return source.path.endswith(".parquet")


def splits(source: Source) -> bool:
    """Whether parts of the input can be read alone: its lines are not packed."""
    return not is_parquet(source) and unpacked_name(source.path) == source.path


def rows(piece: Piece, columns: Collection[str] | None = None) -> Iterator[Row | Dropped]:
    """The rows of a piece; of a parquet file only those of the `columns` that it has. Damage is told, never raised."""
    if is_parquet(piece.source):
        return _parquet_rows(piece, columns)
    return _json_rows(piece)


def column_names(source: Source) -> list[str]:
    """The columns of an input, as its schema or its first row has them; none for one that is empty or damaged."""
    if is_parquet(source):
        try:
            return list(parquet.read_schema(source.path).names)
        except (pa.ArrowException, OSError):
            return []  # reading it tells
    first = next((row for row in rows(Piece(source=source)) if isinstance(row, Row)), None)
    return list(first.values) if first else []


def first_value(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """What stands under the first of `names` that is there and not null; None where none is."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def _parquet_rows(piece: Piece, columns: Collection[str] | None) -> Iterator[Row | Dropped]:
    number = 0
    try:
        with parquet.ParquetFile(piece.path) as file:
            names = [name for name in file.schema_arrow.names if columns is None or name in columns]
            for batch in file.iter_batches(_BATCH, columns=names):
                for values in _values(batch):
                    place = f"{piece.source.name}, row {number}"
                    yield (
                        Dropped(reason="not UTF-8", place=place, damaged=True) if values is None else Row(place, values)
                    )
                    number += 1
    except (pa.ArrowException, OSError) as error:
        yield cannot_go_on(piece, number, error)


def _values(batch: pa.RecordBatch) -> Sequence[dict[str, Any] | None]:
    """The rows of a batch, None for one with bytes that are no text: parquet's writers need not look at them."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        return [values for number in range(batch.num_rows) for values in _values(batch.slice(number, 1))]


def _json_rows(piece: Piece) -> Iterator[Row | Dropped]:
    for line in lines(piece):
        if isinstance(line, Dropped):
            yield line
            continue
        offset, content = line
        try:
            values = _parsed(content)
        except (ValueError, RecursionError):
            yield Dropped(reason="not JSON", place=piece.place(offset), damaged=True)
            continue
        if not isinstance(values, dict):
            yield Dropped(reason="not a JSON object", place=piece.place(offset), damaged=True)
            continue
        yield Row(piece.place(offset), values)


def _parsed(line: bytes) -> Any:
    value = json.loads(line)
    return _whole(value) if b"\\ud" in line.lower() else value


def _whole(value: Any) -> Any:
    r"""JSON's escapes can spell half a surrogate pair (`\ud800`), which is no character: U+FFFD takes its place."""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return value
