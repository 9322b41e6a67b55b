"""Reading documents, text and what is known of it, from a parquet or JSON-lines shard: in order, a batch at a time."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from mixtures.errors import InputError

SUFFIXES: Final = (".parquet", ".jsonl", ".jsonl.gz")
_BATCH: Final = 256

REPEATED: Final = "repeated_prefix"
"""Column with the bytes at a text's beginning that an earlier document had already: the loss passes over them."""

JSON_COLUMNS: Final = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "url", "language", "source", "licence", "title", "warc_path")),
        *((name, pa.int64()) for name in ("warc_offset", "warc_length", REPEATED)),
        ("language_score", pa.float32()),
    ]
)
"""What is kept of a JSON line beside its text."""


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)  # type: ignore[no-any-return]


_TYPES: Final[dict[str, tuple[Callable[[pa.DataType], bool], str]]] = {
    "url": (_is_text, "text"),
    REPEATED: (pa.types.is_integer, "whole numbers of bytes"),
}
"""What columns of parquet have to be that are read here."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some documents; all lists are equally long."""

    ids: list[str]
    texts: list[str]
    columns: pa.RecordBatch
    """All columns of the shard but the text."""

    def column(self, name: str) -> list[Any]:
        """Values of a column, None where the shard does not have it."""
        if name not in self.columns.schema.names:
            return [None] * len(self.ids)
        return self.columns.column(name).to_pylist()  # type: ignore[no-any-return]

    def taken(self, rows: list[int]) -> Batch:
        """The documents of these numbers."""
        columns = self.columns.take(pa.array(rows, pa.int64()))
        return Batch(ids=[self.ids[i] for i in rows], texts=[self.texts[i] for i in rows], columns=columns)


def shard_stem(path: Path) -> str:
    """File name without the suffix that `read_documents` knows. Raises InputError for another kind of file."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    raise InputError(f"{path}: not a kind of file that can be tokenised; give {', '.join(SUFFIXES)}")


def read_documents(path: Path, *, text_column: str = "text", id_column: str = "id") -> Iterator[Batch]:
    """Documents of a shard in its own order.

    Parquet needs both columns. A JSON line needs the text; where it has no id, the id is the BLAKE2b-128 of
    `file name:line number`; of its other values those are kept that `JSON_COLUMNS` names. Raises InputError naming the
    file and the column or line.
    """
    shard_stem(path)
    if path.name.endswith(".parquet"):
        return _read_parquet(path, text_column, id_column)
    return _read_json_lines(path, text_column, id_column)


def columns_of(path: Path, *, text_column: str = "text") -> pa.Schema:
    """The columns that the batches of a shard have. Raises InputError."""
    if not path.name.endswith(".parquet"):
        return JSON_COLUMNS
    try:
        schema = parquet.read_schema(path).remove_metadata()
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error
    for name, (fits, wanted) in _TYPES.items():
        kind = schema.field(name).type if name in schema.names else pa.null()
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not fits(kind) and not pa.types.is_null(kind):
            raise InputError(
                f"{path}: column {name!r} is {kind}, and has to be {wanted}; convert it, or bring the file into the "
                "document schema first (`falconmix import plain`)"
            )
    return pa.schema([field for field in schema if field.name != text_column])


def _read_parquet(path: Path, text_column: str, id_column: str) -> Iterator[Batch]:
    try:
        with parquet.ParquetFile(path) as file:
            for name in (id_column, text_column):
                if name not in file.schema_arrow.names:
                    raise InputError(
                        f"{path}: has no column {name!r}; it has {', '.join(file.schema_arrow.names)}; bring it into "
                        "the document schema first (`falconmix import plain`)"
                    )
            for batch in file.iter_batches(_BATCH):
                ids, texts = (_strings(path, batch, name) for name in (id_column, text_column))
                columns = batch.drop_columns([text_column]).replace_schema_metadata()
                yield Batch(ids=ids, texts=texts, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a whole parquet file ({error}); make it again")


def _strings(path: Path, batch: pa.RecordBatch, column: str) -> list[str]:
    try:
        values: list[Any] = batch.column(column).to_pylist()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: column {column!r} is not UTF-8 ({error.reason}); make the file again") from error
    for value in values:
        if not isinstance(value, str):
            raise InputError(
                f"{path}: column {column!r} holds {value!r}; it must be text in every row: bring the file into the "
                "document schema first (`falconmix import plain`)"
            )
    return values


def _read_json_lines(path: Path, text_column: str, id_column: str) -> Iterator[Batch]:
    rows: list[dict[str, Any]] = []
    texts: list[str] = []
    for number, line in _lines(path):
        row = parse_line(path, number, line)
        text = row.get(text_column)
        if not isinstance(text, str):
            raise InputError(f"{path}:{number}: no text under {text_column!r}; each line needs it")
        rows.append(_kept(path, number, row) | {"id": _id(path, number, row.get(id_column))})
        texts.append(without_surrogates(text))
        if len(rows) == _BATCH:
            yield _json_batch(rows, texts)
            rows, texts = [], []
    if rows:
        yield _json_batch(rows, texts)


def _json_batch(rows: list[dict[str, Any]], texts: list[str]) -> Batch:
    columns = pa.RecordBatch.from_pylist(rows, JSON_COLUMNS)
    return Batch(ids=[row["id"] for row in rows], texts=texts, columns=columns)


def _kept(path: Path, number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Values under known names, as far as they are of the type that the name stands for."""
    kept = dict[str, Any]()
    for field in JSON_COLUMNS:
        value = row.get("license") if field.name == "licence" and row.get("licence") is None else row.get(field.name)
        if isinstance(value, str) and field.type == pa.string():
            kept[field.name] = without_surrogates(value)
        elif isinstance(value, int) and not isinstance(value, bool) and field.type != pa.string():
            if value.bit_length() > 63:
                raise InputError(f"{path}:{number}: {field.name!r} needs more than 64 bits; correct it or leave it out")
            kept[field.name] = value
        elif isinstance(value, float) and field.type == pa.float32():
            kept[field.name] = value
    return kept


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, numbered from 1."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); make it again") from error


def parse_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """The object that a line of JSON holds. Raises InputError."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:{number}: not JSON ({error}); each line is one object") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: not an object; each line is one object")
    return row


def _id(path: Path, number: int, given: Any) -> str:
    if given is None:
        return hashlib.blake2b(f"{path.name}:{number}".encode(), digest_size=16).hexdigest()
    return without_surrogates(str(given))


def without_surrogates(text: str) -> str:
    r"""JSON's escapes can spell half a surrogate pair (`\ud800`), which is no character: U+FFFD takes its place."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
