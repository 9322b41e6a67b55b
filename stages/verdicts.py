"""A filter's column: from one verdict or None per row to Arrow, and onto the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from stages.schema import VERDICT


class Verdict(NamedTuple):
    """Why a row is dropped: a row of `schema.VERDICT`."""

    rule: str
    value: float | None = None
    threshold: float | None = None
    detail: str | None = None


def with_verdicts(batch: pa.RecordBatch, name: str, verdicts: Sequence[Verdict | None]) -> pa.RecordBatch:
    """Return `batch` with the column `name` appended: `verdicts[i]` for row i, null where it is kept."""
    if not any(verdicts):  # most batches of most filters
        return batch.append_column(pa.field(name, VERDICT), pa.nulls(len(verdicts), VERDICT))
    rows = [None if verdict is None else verdict._asdict() for verdict in verdicts]
    return batch.append_column(pa.field(name, VERDICT), pa.array(rows, VERDICT))
