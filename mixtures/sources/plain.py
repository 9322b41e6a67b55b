"""Texts in parquet or JSON lines, one document per row, with what the row says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Any, Final

from mixtures.errors import InputError
from mixtures.sources.document import Document, Dropped, Item
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.kind import Kind
from mixtures.sources.rows import PATTERN, SAID, Row, column_names, first_value, rows, splits
from mixtures.sources.streams import Piece


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns; None for what a set does not have."""

    text: str
    id: str | None
    url: str | None
    title: str | None
    licence: str | None
    language: str | None
    source: str | None


@dataclass(frozen=True, kw_only=True)
class PlainOptions:
    """What is taken of plain texts; see mixtures/recipes/sources/plain.yaml."""

    source: str | None
    licence: str | None
    language: str | None
    min_chars: int
    columns: Columns


def check(sources: Sequence[Source], options: PlainOptions) -> None:
    """Raise InputError for an input without the column of texts."""
    for source in sources:
        names = column_names(source)
        if names and options.columns.text not in names:
            raise InputError(
                f"{source.path}: no column {options.columns.text!r} (it has {', '.join(names)}); "
                "name the one with texts with --set columns.text=NAME"
            )


def read(piece: Piece, options: PlainOptions) -> Iterator[Item]:
    """The documents of a piece."""
    wanted = {name for column in fields(options.columns) for name in _spellings(getattr(options.columns, column.name))}
    name = PurePath(piece.source.name).name
    return documents(rows(piece, wanted), options, name.split(".")[0] or name)


def documents(found: Iterator[Row | Dropped], options: PlainOptions, source: str) -> Iterator[Item]:
    """One document, or the reason against it, per row; `source` for rows that do not say theirs."""
    for row in found:
        yield row if isinstance(row, Dropped) else _document(row, options, source)


def _document(row: Row, options: PlainOptions, source: str) -> Document | Dropped:
    columns = options.columns
    text = row.values.get(columns.text)
    if not isinstance(text, str):
        return Dropped(reason="no text", place=row.place, damaged=True)
    if not text.strip():
        return Dropped(reason="empty text")
    if len(text) < options.min_chars:
        return Dropped(reason="shorter than min_chars")
    said = {column.name: _text(row.values, getattr(columns, column.name)) for column in fields(columns)}
    named = options.source or said["source"] or source
    return Document(
        key=(named, said["id"] or row.place),
        text=text,
        source=named,
        url=said["url"] or "",
        title=said["title"],
        licence=said["licence"] or options.licence,
        language=said["language"] or options.language,
    )


def _text(values: dict[str, Any], column: str | None) -> str | None:
    value = first_value(values, _spellings(column))
    if isinstance(value, list):
        return "; ".join(map(str, value)) or None
    return None if value is None else str(value).strip() or None


def _spellings(column: str | None) -> tuple[str, ...]:
    """Names under which a column may be; most sets spell the one of licences in American."""
    if column is None:
        return ()
    return ("licence", "license") if column == "licence" else (column,)


KIND: Final = Kind(
    name="plain",
    options=PlainOptions,
    accepted=Accepted(pattern=PATTERN, said=SAID),
    splits=splits,
    check=check,
    documents=read,
)
