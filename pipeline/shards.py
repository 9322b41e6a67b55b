"""Which published file a row belongs to: shards are equal ranges of the id space, counted from the totals.

Ids are digests, so equal ranges hold equal shares, and the number of shards depends on the rows alone: never on the
workers, nor on the order of the inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow.compute as pc

ENGLISH = "RefinedWeb-English"
EUROPE = "RefinedWeb-Europe"
REJECTED = "rejected"
PUBLISHED = (ENGLISH, EUROPE, REJECTED)

TEXT_BYTES_PER_SHARD = 512 << 20
REJECTS_PER_SHARD = 250_000
ID_BITS = 128


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One published file: the rows of `language` (documents) or of `stage` (rejects) in one range of ids."""

    folder: str
    index: int
    count: int
    language: str | None = None
    stage: str | None = None

    @property
    def name(self) -> str:
        """The file, below the run's folder."""
        return f"{self.folder}/part-{self.index:05d}.parquet"

    def holds_id(self) -> pc.Expression:
        """The rows whose id lies in this shard's range."""
        low, high = (_bound(i, self.count) for i in (self.index, self.index + 1))
        inside = pc.field("id") >= low
        return inside if self.index + 1 == self.count else inside & (pc.field("id") < high)


def dataset_of(language: str) -> str:
    """Folder of the documents in `language`."""
    return ENGLISH if language == "en" else f"{EUROPE}/lang={language}"


def document_shards(text_bytes_by_language: dict[str, int]) -> list[Shard]:
    """Shards of about `TEXT_BYTES_PER_SHARD` for each language that has a document."""
    return [
        Shard(folder=dataset_of(language), index=index, count=count, language=language)
        for language, total in sorted(text_bytes_by_language.items())
        for count in [_parts(total, TEXT_BYTES_PER_SHARD)]
        for index in range(count)
    ]


def reject_shards(rows_by_stage: dict[str, int]) -> list[Shard]:
    """Shards of at most about `REJECTS_PER_SHARD` rows for each stage that dropped something."""
    return [
        Shard(folder=f"{REJECTED}/stage={stage}", index=index, count=count, stage=stage)
        for stage, total in sorted(rows_by_stage.items())
        for count in [_parts(total, REJECTS_PER_SHARD)]
        for index in range(count)
    ]


def shards_of(names: Iterable[str]) -> list[Shard]:
    """The shards that published files are, all of a run, in their order by name."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        folders[name.rpartition("/")[0]].append(name)
    return [
        Shard(folder=folder, index=index, count=len(files), **_holding(folder))
        for folder, files in folders.items()
        for index in range(len(files))
    ]


def _holding(folder: str) -> dict[str, str]:
    if folder == ENGLISH:
        return {"language": "en"}
    kind, _, value = folder.rpartition("/")[2].partition("=")
    return {"language": value} if kind == "lang" else {"stage": value}


def _parts(total: int, per_part: int) -> int:
    return max(1, -(-total // per_part))


def _bound(index: int, count: int) -> str:
    return f"{min((index << ID_BITS) // count, (1 << ID_BITS) - 1):032x}"
