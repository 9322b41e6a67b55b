"""Reading documents, id and text, from a parquet or JSON-lines shard, in order and a batch at a time."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from mixtures.errors import InputError

SUFFIXES: Final = (".parquet", ".jsonl", ".jsonl.gz")
_BATCH: Final = 256

Batch = tuple[list[str], list[str]]
"""Ids and texts, equally many."""


def shard_stem(path: Path) -> str:
    """File name without the suffix that `read_documents` knows. Raises InputError for another kind of file."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    raise InputError(f"{path}: not a kind of file that can be tokenised; give {', '.join(SUFFIXES)}")


def read_documents(path: Path, *, text_column: str = "text", id_column: str = "id") -> Iterator[Batch]:
    """Documents of a shard in its own order.

    Parquet needs both columns. A JSON line needs the text; where it has no id, the id is the BLAKE2b-128 of
    `file name:line number`. Raises InputError naming the file and the column or line.
    """
    shard_stem(path)
    if path.name.endswith(".parquet"):
        return _read_parquet(path, text_column, id_column)
    return _read_json_lines(path, text_column, id_column)


def _read_parquet(path: Path, text_column: str, id_column: str) -> Iterator[Batch]:
    try:
        with parquet.ParquetFile(path) as file:
            for name in (id_column, text_column):
                if name not in file.schema_arrow.names:
                    raise InputError(f"{path}: has no column {name!r}; it has {', '.join(file.schema_arrow.names)}")
            for batch in file.iter_batches(_BATCH, columns=[id_column, text_column]):
                yield _strings(path, batch, id_column), _strings(path, batch, text_column)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a whole parquet file ({error}); make it again") from error


def _strings(path: Path, batch: pa.RecordBatch, column: str) -> list[str]:
    values: list[Any] = batch.column(column).to_pylist()
    for value in values:
        if not isinstance(value, str):
            raise InputError(f"{path}: column {column!r} holds {value!r}; it must be text in every row")
    return values


def _read_json_lines(path: Path, text_column: str, id_column: str) -> Iterator[Batch]:
    ids: list[str] = []
    texts: list[str] = []
    for number, line in _lines(path):
        row = _parse(path, number, line)
        text = row.get(text_column)
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: no text under {text_column!r}; each line needs it")
        ids.append(_id(path, number, row.get(id_column)))
        texts.append(_without_surrogates(text))
        if len(ids) == _BATCH:
            yield ids, texts
            ids, texts = [], []
    if ids:
        yield ids, texts


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); make it again") from error


def _parse(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}:{number}: not JSON ({error}); each line is one object") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: not an object; each line is one object")
    return row


def _id(path: Path, number: int, given: Any) -> str:
    if given is None:
        return hashlib.blake2b(f"{path.name}:{number}".encode(), digest_size=16).hexdigest()
    return _without_surrogates(str(given))


def _without_surrogates(text: str) -> str:
    r"""JSON's escapes can spell half a surrogate pair (`\ud800`), which is no character: U+FFFD takes its place."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
