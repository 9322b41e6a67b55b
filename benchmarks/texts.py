"""Extracted texts as `stages.decide` takes them, with no capture behind them."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from stages.schema import PAGE


def text_batch(texts: Sequence[str], languages: Sequence[str | None], scores: Sequence[float | None]) -> pa.RecordBatch:
    """A batch of pages of which the text and its language are known, and nothing else."""
    n = len(texts)
    known = {"text": texts, "language": languages, "language_score": scores, "opt_out": [[]] * n}
    return pa.RecordBatch.from_arrays([pa.array(known.get(f.name, [None] * n), f.type) for f in PAGE], PAGE.names)
