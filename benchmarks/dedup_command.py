"""`falconmix dedup` on files of a grown corpus, watched: what all its processes cost, and what it finds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from processes import Usage, watch

MIN_JACCARD = 0.8
WORKER, RAY = "worker", "ray"
_PREFIX, _FILE = 8, 16
"""Where the number of the file begins and ends in an id, in hexadecimal; the number of the row follows."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the command.

    kept: documents written. clusters: the cluster of each clustered id of the corpus. exchanged_bytes: what tasks of
    deduplication handed each other through files. report: the counts of the run.
    """

    documents: int
    kept: int
    usage: Usage
    clusters: Mapping[str, str]
    exchanged_bytes: int
    report: Mapping[str, Any]


def dedup(
    files: Sequence[Path],
    output: Path,
    recipe: Mapping[str, object],
    workers: int = 1,
    index: Path | None = None,
) -> Run:
    """Deduplicate `files`, ordered by name, into the new folder `output`. recipe: what is changed of the default."""
    output.mkdir(parents=True)
    changed = {"extends": "refinedweb", "name": "benchmark", **recipe}
    (output / "recipe.yaml").write_text(json.dumps(changed), encoding="utf-8")  # JSON is YAML
    line = [sys.executable, "-m", "falconmix.cli", "dedup", *map(str, files), "--output", str(output / "out")]
    line += ["--recipe", str(output / "recipe.yaml"), "--workers", str(workers), "--json"]
    line += ["--index", str(index)] if index else []
    # Ray's daemons cost by the second; workers that give way to all else would make a run on a busy machine dearer.
    usage = watch(line, (WORKER, RAY), role_of, os.environ | {"RAY_worker_niceness": "0"})
    kept = sum(pq.read_metadata(path).num_rows for path in (output / "out" / "documents").glob("*.parquet"))
    documents = sum(pq.read_metadata(path).num_rows for path in files)
    return Run(
        documents=documents,
        kept=kept,
        usage=usage,
        clusters=clusters_of(output / "out", files),
        exchanged_bytes=exchanged_bytes(output / "out"),
        report=json.loads((output / "out" / "report" / "stats.json").read_text(encoding="utf-8")),
    )


def role_of(line: str) -> str:
    """Role of a process by its command line: Ray names its workers after the task that they run."""
    return WORKER if line.startswith("ray::") or "default_worker.py" in line else RAY


def clusters_of(output: Path, files: Sequence[Path]) -> dict[str, str]:
    """The cluster of each id of `files`, pages with one text or one URL being of one cluster."""
    ids = [pq.read_table(path, columns=["id"])["id"].to_pylist() for path in files]
    table = pq.read_table(output / "dedup" / "clusters.parquet", columns=["id", "cluster_id"])
    clusters = {
        _id_in(ids, one): _id_in(ids, cluster)
        for one, cluster in zip(table["id"].to_pylist(), table["cluster_id"].to_pylist(), strict=True)
    }
    for number, path in enumerate(files):
        rows = pq.read_table(output / "removed" / f"{path.name}.parquet", partitioning=None)
        for row in rows.filter(pc.field("stage").isin(["url_dedup", "exact_dedup"])).to_pylist():
            kept = _id_in(ids, row["kept_id"])
            clusters[ids[number][row["row"]]] = clusters.setdefault(kept, kept)
    return clusters


def exchanged_bytes(output: Path) -> int:
    """Bytes of the partition files between the phases of deduplication, long deleted, by their manifest records."""
    records = (
        json.loads(path.read_text(encoding="utf-8")) for path in (output / "manifest" / "dedup").glob("*/*.json")
    )
    return sum(n for record in records for file, n in record["files"].items() if file.endswith(".arrow"))


def _id_in(ids: Sequence[Sequence[str]], name: str) -> str:
    return ids[int(name[_PREFIX:_FILE], 16)][int(name[_FILE:], 16)]


def similar_pairs(path: Path) -> pa.Table:
    """Planted pairs of a similarity of `MIN_JACCARD` or more."""
    pairs = pq.read_table(path)
    return pairs.filter(pc.greater_equal(pairs["jaccard"], MIN_JACCARD))


def recall(pairs: pa.Table, clusters: Mapping[str, object]) -> float:
    """Share of the pairs that are in one cluster; 1 where there are none."""
    ids = zip(pairs["id_a"].to_pylist(), pairs["id_b"].to_pylist(), strict=True)
    found = [a in clusters and clusters[a] == clusters.get(b) for a, b in ids]
    return float(np.mean(found)) if found else 1.0
