"""What the report counts: per shard in its task, then merged by the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.urls import domain_of

TEXT_CHARS_EDGES = [0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 1_000_000]
SCORE_EDGES = [round(0.05 * i, 2) for i in range(21)]
DOMAINS_PER_SHARD = 2_000
UNKNOWN_LANGUAGE = "unknown"

Counts = dict[str, Any]


def count_documents(table: pa.Table) -> Counts:
    """Counts of one shard of documents."""
    return {
        "rows": table.num_rows,
        "inputs": _count(table["warc_path"]),
        "domains": _domains(table),
        "languages": _count(table["language"]),
        "chars": int(np.sum(pc.utf8_length(table["text"]).to_numpy(), dtype=np.int64)),
        "cluster_size": _count(table["cluster_size"]),
        "text_chars": histogram(_values(table, "n_chars"), TEXT_CHARS_EDGES),
        "language_score": histogram(_values(table, "language_score"), SCORE_EDGES),
    }


def count_rejects(table: pa.Table) -> Counts:
    """Counts of one shard of rejects."""
    languages = table["language"].fill_null(UNKNOWN_LANGUAGE)
    by_language = Counter(zip(languages.to_pylist(), table["rule"].to_pylist(), strict=True))
    return {
        "rows": table.num_rows,
        "inputs": _count(table["warc_path"]),
        "domains": _domains(table),
        "languages": _count(languages),
        "rules": _count(table["rule"]),
        "language_rules": {f"{language}\t{rule}": n for (language, rule), n in sorted(by_language.items())},
        "text_chars": histogram(_values(table, "n_chars"), TEXT_CHARS_EDGES),
        "language_score": histogram(_values(table, "language_score"), SCORE_EDGES),
    }


def total(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    """Sum of several counts."""
    merged: Counter[str] = Counter()
    for count in counts:
        merged.update(count)
    return merged


def _count(column: pa.ChunkedArray) -> dict[str, int]:
    return {str(row["values"]): row["counts"] for row in column.value_counts().to_pylist()}


def _domains(table: pa.Table) -> dict[str, int]:
    return dict(Counter(map(domain_of, table["url"].to_pylist())).most_common(DOMAINS_PER_SHARD))


def _values(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    values: np.ndarray[Any, Any] = table[name].drop_null().to_numpy()
    return values


def histogram(values: np.ndarray[Any, Any], edges: Sequence[float]) -> list[int]:
    """Counts per bin [edge, next edge); the last bin holds its upper edge and all above."""
    places = np.searchsorted(edges, values, side="right") - 1
    n_bins = len(edges) - 1
    return [int(n) for n in np.bincount(np.clip(places, 0, n_bins - 1), minlength=n_bins)]
