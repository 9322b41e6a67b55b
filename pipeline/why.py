"""What became of a page: one entry per capture of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import lookup
from pipeline.publish import DAMAGED
from pipeline.run import open_finished
from pipeline.shards import REJECTED
from pipeline.summary import read_summary
from stages.cascade import DUPLICATE_STEPS

PREVIEW_CHARS = 300


def why(output: Path, query: str) -> list[dict[str, Any]]:
    """Entries for the URL or id `query`, in order of place; empty where no input holds it.

    Raises UsageError where `output` holds no finished run.
    """
    store = open_finished(output)
    steps = [step["stage"] for step in read_summary(store)["funnel"]]
    return [_entry(row, steps) for row in lookup.find(store, query)]


def describe(entry: dict[str, Any]) -> str:
    """A few lines for people."""
    lines = [
        f"{entry['url']}",
        f"  capture   {entry['warc_path']} @ {entry['warc_offset']}",
        f"  outcome   {entry['outcome']}",
    ]
    if entry["outcome"] == "published":
        lines += [f"  dataset   {entry['file']}", f"  language  {entry['language']} ({entry['language_score']:.3f})"]
        lines += [f"  cluster   stands for {entry['cluster_size']} page(s), itself included"]
    elif entry["outcome"] == "quarantined":
        lines += [f"  damage    bytes {entry['warc_offset']}–{entry['end']}: {entry['rule']}"]
    else:
        lines += [
            f"  passed    {' → '.join(entry['passed']) or 'nothing'}",
            f"  dropped   by {entry['stage']}: {_rule(entry)}",
        ]
    if entry.get("text"):
        lines += [f"  text      {entry['text'][:PREVIEW_CHARS]!r}"]
    return "\n".join(lines)


def _rule(entry: dict[str, Any]) -> str:
    measured = "" if entry["value"] is None else f", measured {entry['value']:.4g}"
    limit = "" if entry["threshold"] is None else f", limit {entry['threshold']:.4g}"
    detail = f" ({entry['detail']})" if entry["detail"] else ""
    return f"{entry['rule']}{measured}{limit}{detail}"


def _entry(row: dict[str, Any], steps: list[str]) -> dict[str, Any]:
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    if row["file"] == DAMAGED:
        place = {"warc_offset": row["start"], "warc_length": row["end"] - row["start"]}
        return plain | place | _verdict("quarantined", "reader", row["reason"])
    if not row["file"].startswith(REJECTED):
        return plain | _verdict("published", None, None) | {"passed": steps}
    outcome = "duplicate" if row["stage"] in DUPLICATE_STEPS else "rejected"
    passed = steps[: steps.index(row["stage"])] if row["stage"] in steps else []
    return plain | {"outcome": outcome, "passed": passed}


def _verdict(outcome: str, stage: str | None, rule: str | None) -> dict[str, Any]:
    return {"outcome": outcome, "stage": stage, "rule": rule, "value": None, "threshold": None, "detail": None}
