"""Reading evaluation sets: the items of a JSON-lines, parquet or text file, each with its passages of text.

An item is a line or a row, numbered from 1. Its passages are all texts found in its columns, in their order, those
within lists and mappings included (a question, each choice, the answer); numbers and the like are passed over. Of a
text file each line is an item of one passage.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from mixtures.documents import parse_line, without_surrogates
from mixtures.errors import InputError
from mixtures.files import content_digest

SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".parquet", ".txt")
_ROWS: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question, problem or text of an evaluation set."""

    number: int
    """Of its line or row in the file, from 1."""
    passages: tuple[str, ...]


def read_items(path: Path, columns: Sequence[str] = ()) -> list[Item]:
    """All items of a file; `columns` are those to take text from, as far as the file has them, none: all.

    Raises InputError, naming the line where there is one, for a file that is missing, damaged or without items, and
    where it has none of `columns`.
    """
    try:
        items = list(_items(path, columns))
    except FileNotFoundError:
        raise InputError(f"{path}: no such evaluation file; give the path of one") from None
    except (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); fetch it again") from error
    if not items:
        raise InputError(f"{path}: holds no evaluation items; give a file that does, or leave it out")
    return items


def file_digest(path: Path) -> str:
    """BLAKE2b-128, as hex digits, of a file's bytes. Raises InputError."""
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: not a kind of evaluation file that is known; give {', '.join(SUFFIXES)}")
    try:
        return content_digest(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of an evaluation file") from None


def _items(path: Path, columns: Sequence[str]) -> Iterator[Item]:
    if path.name.endswith(".parquet"):
        return _of_rows(path, enumerate(_parquet_rows(path, columns), 1), columns)
    if path.name.endswith(".txt"):
        return (Item(number=number, passages=(_text(path, number, line),)) for number, line in _lines(path))
    return _of_rows(path, ((number, parse_line(path, number, line)) for number, line in _lines(path)), columns)


def _of_rows(path: Path, rows: Iterable[tuple[int, Mapping[str, Any]]], columns: Sequence[str]) -> Iterator[Item]:
    seen: set[str] = set()
    for number, row in rows:
        seen.update(row)
        taken = {name: value for name, value in row.items() if not columns or name in columns}
        yield Item(number=number, passages=tuple(_texts(taken)))
    if columns and seen and not seen.intersection(columns):
        raise InputError(f"{path}: has no column {' or '.join(columns)}; it has {', '.join(sorted(seen))}")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value that was read from JSON or parquet, depth first."""
    if isinstance(value, str):
        yield without_surrogates(value)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):  # a tuple: what pyarrow makes of a map's entry
        for part in value:
            yield from _texts(part)


def _parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    with parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        wanted = [name for name in names if not columns or name in columns]
        if not wanted:
            raise InputError(f"{path}: has no column {' or '.join(columns)}; it has {', '.join(names)}")
        for batch in file.iter_batches(_ROWS, columns=wanted):
            yield from batch.to_pylist()


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def _text(path: Path, number: int, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8 ({error.reason}); write the file anew in UTF-8") from error
