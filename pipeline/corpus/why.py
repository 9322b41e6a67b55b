"""What became of a document of a corpus: written, or removed, and for which other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.corpus.units import REMOVED, id_prefix, place_of
from pipeline.errors import UsageError
from pipeline.run import inputs_of, open_finished, read_description
from pipeline.store import Store
from pipeline.summary import read_summary
from stages.cascade import DUPLICATE_STEPS

_ID = re.compile("[0-9a-f]{32}")
_PLACE = re.compile("(?P<file>.+):(?P<row>[0-9]+)")

Entry = dict[str, Any]


def is_corpus_run(output: Path) -> bool:
    """Whether `falconmix dedup` finished a run in this folder; UsageError where no command did."""
    return "dedup" in (read_description(open_finished(output))["replay_of"] or {})


def why(output: Path, query: str) -> list[Entry]:
    """The entry of a document by `FILE:ROW`, rows counted from 0, or by its id; empty where no input holds it.

    FILE may be the end of a path that tells it from the other inputs'. Raises UsageError for any other query.
    """
    store = open_finished(output)
    inputs = [(source["file"], source["rows"]) for source in read_summary(store)["inputs"]]
    number, row = _place(store, query, [file for file, _ in inputs])
    if number is None or row >= inputs[number][1]:
        return []
    return [_entry(store, inputs[number][0], row)]


def _place(store: Store, query: str, files: list[str]) -> tuple[int | None, int]:
    """(number of the file, None where there is none; row)."""
    if _ID.fullmatch(query):
        return place_of(query, id_prefix(inputs_of(read_description(store)))) or (None, 0)
    if not (found := _PLACE.fullmatch(query)):
        raise UsageError(f"{query}: of a run of `falconmix dedup`, name a document as FILE:ROW, or by its id")
    named = [number for number, file in enumerate(files) if f"/{file}".endswith(f"/{found['file']}")]
    if len(named) > 1:
        raise UsageError(f"{found['file']}: may be {files[named[0]]} or {files[named[1]]}; give more of the path")
    return named[0] if named else None, int(found["row"])


def _entry(store: Store, file: str, row: int) -> Entry:
    path, wanted = store.path(f"removed/{file}.parquet"), pc.field("row") == row
    (told,) = pq.read_table(path, filters=wanted, partitioning=None).to_pylist() or [dict.fromkeys(REMOVED.names)]
    removed = "duplicate" if told["stage"] in DUPLICATE_STEPS else "rejected"
    entry: Entry = told | {"file": file, "row": row, "outcome": removed if told["stage"] else "published"}
    return entry


def describe(entry: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [f"{entry['file']}, row {entry['row']}", f"  outcome   {entry['outcome']}"]
    if entry["stage"]:
        measured = "" if entry["value"] is None else f", measured {entry['value']:.4g}"
        limit = "" if entry["threshold"] is None else f", limit {entry['threshold']:.4g}"
        lines += [f"  removed   by {entry['stage']}: {entry['rule']}{measured}{limit}"]
    if entry["kept_file"]:
        lines += [f"  kept      {entry['kept_file']}, row {entry['kept_row']}"]
    elif entry["kept_id"]:
        lines += [f"  kept      {entry['kept_id']}, of an earlier run"]
    return "\n".join(lines)
