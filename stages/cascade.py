"""Filters in their order: the first that fires on a row names it, and later ones are not asked about that row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.schema import VERDICT

UNDECIDED = "undecided"
"""In a replay: dropped before extraction by a step that now asks something else; the text is not known."""

TAKEDOWN = "takedown"
"""Taken out on request, whatever had become of the page before: no step is asked about it."""

FUNNEL = (
    TAKEDOWN,
    "same_record",
    "capture",
    "url_filter",
    "limits",
    "visible",
    "early_language",
    UNDECIDED,
    "extract",
    "opt_out_filter",
    "language_filter",
    "repetition",
    "quality",
    "c4",
    "fineweb",
    "line_corrections",
    "url_dedup",
    "exact_dedup",
    "minhash",
    "substrings",
)
"""Steps in the order in which a page meets them; a recipe may leave out some of those between language and copies."""

DUPLICATE_STEPS = ("url_dedup", "exact_dedup", "minhash")
"""Steps that drop copies."""


@dataclass(frozen=True)
class Step:
    """One filter: `apply` returns its batch plus one nullable column `name` of type `schema.VERDICT`."""

    name: str
    apply: Callable[[pa.RecordBatch], pa.RecordBatch]


def first_verdict(batch: pa.RecordBatch, steps: Sequence[Step]) -> tuple[pa.StructArray, pa.StringArray]:
    """For each row, the verdict of the first step that drops it and that step's name; null where all keep it."""
    verdicts: list[Any] = [None] * batch.num_rows
    names: list[str | None] = [None] * batch.num_rows
    rows = np.arange(batch.num_rows)
    for step in steps:
        column = step.apply(batch.take(pa.array(rows))).column(step.name)
        dropped = column.is_valid().to_numpy(zero_copy_only=False)
        for row, verdict in zip(rows[dropped], column.filter(pa.array(dropped)).to_pylist(), strict=True):
            verdicts[row], names[row] = verdict, step.name
        rows = rows[~dropped]
    return pa.array(verdicts, VERDICT), pa.array(names, pa.string())
