"""What each step removed, by language and by domain: the names of which most is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pipeline.dedup.copies import SAME_RECORD
from pipeline.dedup.home import Home, Step
from pipeline.dedup.plan import Plan
from pipeline.dedup.tally import KINDS, by_name, counted, kind_codes, largest_of_each, summed
from pipeline.phase import Report
from stages.urls import domain_column

NAMES = 100
"""Names of each kind that are told."""
_SENT, _LARGEST = "removal_names", "removal_largest"


def names_of_steps(steps: Sequence[Step]) -> list[str]:
    """The steps that drop documents as copies: all but the one for records read twice."""
    return [name for name, _ in steps if name != SAME_RECORD]


def send_removed(plan: Plan, home: Home, steps: Sequence[Step], spans: pa.Table, n_parts: int) -> str:
    """Send the counts of a group: `pages` that reached deduplication, what each step removed, `passage_bytes`."""
    rows = home.living([step for step in steps if step[0] == SAME_RECORD])
    counts = {"pages": np.ones(len(home.docs), np.int64)}
    for step in steps:
        if step[0] != SAME_RECORD:
            counts[step[0]] = np.zeros(len(home.docs), np.int64)
            counts[step[0]][home.rows_of(home.removed(step)["doc"].to_numpy())] = 1
    counts["passage_bytes"] = np.zeros(len(home.docs), np.int64)
    lengths = spans["end"].to_numpy() - spans["start"].to_numpy()
    np.add.at(counts["passage_bytes"], home.rows_of(spans["doc"].to_numpy()), lengths)
    languages = home.table["language"].combine_chunks().take(pa.array(rows))
    names = dict(zip(KINDS, (languages, domain_column(home.urls(rows))), strict=True))
    table = counted(names, {name: column[rows] for name, column in counts.items()})
    return plan.exchange(_SENT).write(home.number, table, by_name(table, n_parts), n_parts)


def send_largest(part: int, *, plan: Plan, steps: Sequence[Step]) -> tuple[list[str], Report]:
    """Sum the names of one partition, and send those of which most was removed."""
    table = summed(plan.exchange(_SENT).read(plan.group_numbers, part), ["kind", "name"])
    return [plan.exchange(_LARGEST).write(part, _largest(table, steps))], {"names": table.num_rows}


def largest_removals(plan: Plan, steps: Sequence[Step], parts: range) -> Report:
    """By kind, the names of which most was removed, those of which nothing was left out."""
    rows = plan.exchange(_LARGEST).read(parts)
    rows = _largest(rows.sort_by([("kind", "ascending"), ("name", "ascending")]), steps).to_pylist()
    told = names_of_steps(steps)
    return {
        kind: [
            {"name": row["name"], "pages": row["pages"], "removed": {step: row[step] for step in told}}
            | {"passage_bytes": row["passage_bytes"]}
            for row in rows
            if row["kind"] == kind
        ]
        for kind in KINDS
    }


def _largest(rows: pa.Table, steps: Sequence[Step]) -> pa.Table:
    removed = sum((rows[step].to_numpy() for step in names_of_steps(steps)), np.zeros(rows.num_rows, np.int64))
    n_bytes = rows["passage_bytes"].to_numpy()
    touched = np.flatnonzero((removed > 0) | (n_bytes > 0))
    # Bytes decide between names of which as many documents are gone, then the order of the rows.
    rank = np.empty(touched.size, np.int64)
    rank[np.lexsort((-touched, n_bytes[touched], removed[touched]))] = np.arange(touched.size)
    rows = rows.take(pa.array(touched))
    return rows.take(pa.array(largest_of_each(kind_codes(rows), rank, NAMES)))
