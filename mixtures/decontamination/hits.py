"""What decontamination found, kept beside the tokens: `part-00000.contaminated.parquet`, a row for each passage.

    id                 the document
    action             `drop` (no tokens of it were written), `mask` (its tokens are left out of the loss), `keep` (too
                       few hits for either)
    file, item         the evaluation file, and the line or row in it of the first item that has the n-gram
    items              how many items have that n-gram
    start, end         the passage in the document, in bytes of its UTF-8, punctuation at its ends included
    ngram              the first n-gram of the passage, as it was compared
    hits               places in the passage at which an n-gram begins
    document_hits, document_ngrams    the same for the whole document, and places at which one could begin
    share              document_hits / document_ngrams

A passage is a stretch in which n-grams of one item stand, each overlapping or touching the next. Rows are in the order
of the documents, within one in that of its text. A shard without hits has a file without rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
from pyarrow import parquet

from mixtures.errors import TokenFileError
from mixtures.files import written_whole

Action = Literal["drop", "mask", "keep"]

SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("action", pa.string()),
        ("file", pa.string()),
        ("item", pa.int64()),
        ("items", pa.int64()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("ngram", pa.string()),
        ("hits", pa.int64()),
        ("document_hits", pa.int64()),
        ("document_ngrams", pa.int64()),
        ("share", pa.float64()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Passage:
    """A stretch of a document that stands in an evaluation item; the columns above say what is what."""

    file: str
    item: int
    items: int
    start: int
    end: int
    ngram: str
    hits: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A document in which something was found."""

    id: str
    action: Action
    hits: int
    ngrams: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What was found in several shards, in documents."""

    by_action: dict[str, int]
    """`drop`, `mask` and `keep`, those that occur."""
    by_file: dict[str, int]
    """Documents that share something with each evaluation file, kept ones included."""
    items: int
    """Different evaluation items that something was shared with, each named by the first that has the n-gram."""


def hits_path(tokens: Path) -> Path:
    """The record beside the token file `tokens`."""
    return tokens.with_suffix(".contaminated.parquet")


def write_hits(path: Path, verdicts: Iterable[Verdict | None]) -> None:
    """Write a shard's record, given its documents' verdicts in order; None for those in which nothing was found."""
    rows = [row for verdict in verdicts if verdict is not None for row in _rows(verdict)]
    with written_whole(path) as file:
        parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), file, compression="zstd")


def tally(paths: Iterable[Path]) -> Tally:
    """Count what the records of several shards hold. Raises TokenFileError."""
    by_action: dict[str, int] = {}
    by_file: dict[str, int] = {}
    items: set[tuple[str, int]] = set()
    for path in paths:
        rows = _read(path)
        for action in {row["id"]: row["action"] for row in rows}.values():
            by_action[action] = by_action.get(action, 0) + 1
        for _, name in sorted({(row["id"], row["file"]) for row in rows}):
            by_file[name] = by_file.get(name, 0) + 1
        items.update((row["file"], row["item"]) for row in rows)
    return Tally(by_action=dict(sorted(by_action.items())), by_file=dict(sorted(by_file.items())), items=len(items))


def _rows(verdict: Verdict) -> Iterator[dict[str, Any]]:
    for passage in verdict.passages:
        yield {
            "id": verdict.id,
            "action": verdict.action,
            **vars(passage),
            "document_hits": verdict.hits,
            "document_ngrams": verdict.ngrams,
            "share": verdict.hits / verdict.ngrams,
        }


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path, columns=["id", "action", "file", "item"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise TokenFileError(f"{path}: cannot be read ({error}); tokenise its shard again") from error
    return rows
