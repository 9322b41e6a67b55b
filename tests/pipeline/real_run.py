"""Runs over the four real WARC files beside the checkout, and their pages as deduplication met them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

COPIES = ("same_record", "url_dedup", "exact_dedup")
"""Steps before near-duplicates are sought."""
NEAR = "minhash"

Pairs = dict[tuple[str, str], float]


def command(inputs: Iterable[str], output: Path, workers: int, *more: str) -> list[str]:
    line = [sys.executable, "-m", "falconmix.cli", "curate", *inputs, "--output", str(output)]
    return [*line, "--workers", str(workers), "--json", *more]


def finish(
    inputs: Iterable[str], output: Path, *more: str, workers: int = 2, seed: str = "0", recipe: object = "refinedweb"
) -> dict[str, Any]:
    line = command(inputs, output, workers, "--recipe", str(recipe), *more)
    done = subprocess.run(line, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that reached deduplication; `stage` removed it for `kept`, None where it was published."""

    id: str
    url: str
    text: str
    language: str
    crawl: str
    fetch_time: datetime | None
    warc_path: str
    warc_offset: int
    stage: str | None = None
    kept: str | None = None
    value: float | None = None

    @property
    def order(self) -> tuple[object, ...]:
        """The order of invariant 5, without a preferred source."""
        time = self.fetch_time or datetime.max.replace(tzinfo=UTC)
        return self.fetch_time is None, time, self.id, self.warc_path, self.warc_offset


def pages_of(output: Path) -> list[Page]:
    """All pages that reached deduplication, in its order, with their corrected texts and what became of them."""
    fates = {(row["warc_path"], row["warc_offset"]): row for row in rows_below(output / "rejected")}
    columns = ["id", "url", "language", "crawl", "fetch_time", "warc_path", "warc_offset", "corrected"]
    passing = pc.field("verdict_stage").is_null()
    pages = []
    for path in sorted((output / "work" / "extracted").glob("*.parquet")):
        for row in pq.read_table(path, columns=columns, filters=passing, partitioning=None).to_pylist():
            told = fates.get((row["warc_path"], row["warc_offset"]), {})
            told = {"stage": told.get("stage"), "kept": told.get("detail"), "value": told.get("value")}
            pages.append(Page(text=row.pop("corrected"), **row, **told))
    return sorted(pages, key=lambda page: page.order)


def searched(pages: Iterable[Page]) -> list[Page]:
    """Those that the search for near-duplicates saw."""
    return [page for page in pages if page.stage not in COPIES]


def rows_below(folder: Path) -> list[dict[str, Any]]:
    """Rejects, without their texts and signals."""
    columns = ["id", "warc_path", "warc_offset", "stage", "detail", "value", "threshold"]
    tables = [pq.read_table(path, columns=columns, partitioning=None) for path in sorted(folder.rglob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def published(output: Path) -> dict[str, str]:
    """Texts by id."""
    folders = [output / "RefinedWeb-English", output / "RefinedWeb-Europe"]
    files = [file for folder in folders for file in folder.rglob("*.parquet")]
    table = pa.concat_tables([pq.read_table(file, columns=["id", "text"], partitioning=None) for file in files])
    return dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))


def shingles(text: str) -> set[tuple[str, ...]]:
    """Runs of five shingle words, as `stages.segment` defines them, written plainly."""
    folded = "".join(char.lower()[0] for char in text)
    words = "".join(char if char.isalnum() or char == "_" else " " for char in folded).split(" ")
    words = [word for word in words if word]
    return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))} if words else set()


def similar(pages: Sequence[Page], least: float) -> Pairs:
    """Exact Jaccard similarity of all pairs of pages from `least` on, by (earlier id, later id).

    Found by an index of all shingles, so that none is missed.
    """
    sets = [shingles(page.text) for page in pages]
    holders: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, shingle_set in enumerate(sets):
        for shingle in shingle_set:
            holders[shingle].append(number)
    both = Counter(pair for numbers in holders.values() for pair in combinations(numbers, 2))
    found = {(a, b): n / (len(sets[a]) + len(sets[b]) - n) for (a, b), n in both.items()}
    return {(pages[a].id, pages[b].id): j for (a, b), j in found.items() if j >= least}


def roots(pages: Iterable[Page]) -> dict[str, str]:
    """For each page the one that was published, or cut, in its place at the end of all steps."""
    kept: Mapping[str, str | None] = {page.id: page.kept for page in pages}

    def root(page_id: str) -> str:
        while after := kept.get(page_id):
            page_id = after
        return page_id

    return {page_id: root(page_id) for page_id in kept}
