"""Units made for tests as extraction leaves them, the strategies that draw them, and what must become of each page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from hypothesis import strategies as st

from pipeline.dedup.plan import Plan
from pipeline.dedup.search import deduplicate
from pipeline.engine import SerialEngine
from pipeline.groups import Source, groups_of
from pipeline.phase import Phases
from pipeline.progress import Quiet
from pipeline.recipe import MinhashRecipe, Recipe
from pipeline.store import Store
from pipeline.unit import ROW_ORDER, table_name
from stages import keys, schema
from stages.canonical_url import canonical
from stages.minhash import Geometry

EXACT = MinhashRecipe(geometry=Geometry(bands=32, rows=1))
"""A search that misses no pair: at J = .75 with a chance of .25³²."""
MEMORY = Path("/dev/shm")
"""A run of many small phases waits for the disk above all."""
PRIORITY = ("preferred",)
RECIPE = Recipe(name="test", languages=("en", "de"), source_priority=PRIORITY, minhash=EXACT)

_EARLY = ("capture", "visible")
_LATE = ("extract", "quality")
_VALUES = {"rule": "a_rule", "value": 3.0, "threshold": 5.0, "detail": "why"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A capture; `stage` is the step that dropped it, None where the recipe keeps it."""

    id: str
    url: str = ""
    text: str = "one two three four five six seven"
    language: str = "en"
    crawl: str = "dump"
    fetch_time: datetime | None = None
    stage: str | None = None
    warc_path: str = ""
    warc_offset: int = 0

    @property
    def place(self) -> tuple[str, int]:
        return self.warc_path, self.warc_offset

    @property
    def order(self) -> tuple[object, ...]:
        """The order of invariant 5, written out."""
        time = self.fetch_time or datetime.max.replace(tzinfo=UTC)
        return self.crawl not in PRIORITY, self.fetch_time is None, time, self.id, *self.place

    @property
    def shingles(self) -> set[tuple[str, ...]]:
        words = self.text.split()
        return {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


@dataclass(kw_only=True)
class Fate:
    """What must become of captures, by place: the stage that drops a copy and the row that stays for it."""

    removed: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    clusters: list[list[Row]] = field(default_factory=list)


def fate(rows: Sequence[Row]) -> Fate:
    """Deduplicate by comparing everything with everything."""
    result = Fate()
    _drop_later(sorted(rows, key=lambda row: row.place), "same_record", "id", result)
    alive = sorted((r for r in rows if r.stage is None and r.place not in result.removed), key=lambda row: row.order)
    with_address = [row for row in alive if canonical(row.url)]
    _drop_later(with_address, "url_dedup", "address", result)
    alive = [row for row in alive if row.place not in result.removed]
    _drop_later(alive, "exact_dedup", "text", result)
    alive = [row for row in alive if row.place not in result.removed]
    for cluster in _components(alive):
        result.clusters.append(cluster)
        result.removed |= {row.place: ("minhash", cluster[0].id) for row in cluster[1:]}
    return result


def _drop_later(rows: Sequence[Row], stage: str, key: str, result: Fate) -> None:
    first: dict[str, Row] = {}
    for row in rows:
        value = canonical(row.url) if key == "address" else getattr(row, key)
        if (kept := first.setdefault(value, row)) is not row:
            result.removed[row.place] = stage, kept.id


def _components(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Clusters of two rows or more, each in the order of `rows`."""
    left = list(rows)
    while left:
        cluster, grown = [left.pop(0)], True
        while grown:
            near = [row for row in left if any(near_duplicates(row, member) for member in cluster)]
            cluster += near
            left = [row for row in left if row not in near]
            grown = bool(near)
        if len(cluster) > 1:
            yield sorted(cluster, key=lambda row: row.order)


def near_duplicates(a: Row, b: Row) -> bool:
    """Whether two rows are near-duplicates of one language."""
    both, either = len(a.shingles & b.shingles), len(a.shingles | b.shingles)
    return a.language == b.language and both / either >= EXACT.threshold


def write_units(store: Store, units: Sequence[Sequence[Row]], geometry: Geometry = EXACT.geometry) -> list[Source]:
    """Write each unit's tables."""
    sources = []
    for rows in units:
        unit = f"unit-{len(sources)}"
        passing = [_extracted(row) for row in rows if row.stage is None]
        judged = [_extracted(row) | _verdict(row) for row in rows if row.stage in _LATE]
        dropped = [_dropped(row) for row in rows if row.stage in _EARLY]
        batch = pa.RecordBatch.from_pylist(passing, schema.EXTRACTED)
        tables = {
            "extracted": (pa.Table.from_pylist(passing + judged, schema.EXTRACTED), schema.EXTRACTED),
            "dropped": (pa.Table.from_pylist(dropped, schema.REJECT), schema.REJECT),
            "keys": (pa.Table.from_batches([keys.keys_of(batch, geometry)]), keys.schema(geometry)),
            "damage": (schema.DAMAGE.empty_table(), schema.DAMAGE),
        }
        for folder, (table, declared) in tables.items():
            order = [] if folder == "damage" else ROW_ORDER
            store.write_table(table_name(folder, unit), table.sort_by(order) if order else table, declared)
        sources.append(Source(unit, f"{len(sources)}.warc.gz", len(rows), len(passing)))
    return sources


def search(store, sources, recipe, past=None):
    """Deduplicate units in this process."""
    plan = Plan(store=store, recipe=recipe, groups=groups_of(sources, recipe.dedup.group_pages), past=past)
    return deduplicate(plan, Phases(name="dedup", engine=SerialEngine(), progress=Quiet(), store=store, key="key"))


def _capture(row: Row) -> dict[str, object]:
    names = ("id", "url", "warc_path", "warc_offset", "crawl", "fetch_time", "language", "text")
    return {name: getattr(row, name) for name in names} | {
        "warc_length": 10,
        "opt_out": [],
        "language_score": 0.875,
        "n_chars": 9,
    }


def _extracted(row: Row) -> dict[str, object]:
    return _capture(row) | {"text": f"raw {row.text}", "corrected": row.text}


def _verdict(row: Row) -> dict[str, object]:
    return {"verdict": _VALUES, "verdict_stage": row.stage, "corrected": None}


def _dropped(row: Row) -> dict[str, object]:
    return _capture(row) | _VALUES | {"stage": row.stage, "language": None}


def placed(units: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """The same rows, each with its unit's path and an offset."""
    return [
        [
            Row(**{**row.__dict__, "warc_path": f"{number}.warc.gz", "warc_offset": 10 * (len(rows) - i)})
            for i, row in enumerate(rows)
        ]
        for number, rows in enumerate(units)
    ]


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """A run of words from one of two long texts: near, equal or unlike others."""
    base = draw(st.sampled_from("pq"))
    start, end = draw(st.integers(0, 3)), draw(st.integers(20, 24))
    return " ".join(f"{base}{i}" for i in range(start, end))


_ROWS = st.builds(
    Row,
    id=st.integers(0, 40).map(lambda n: f"{(n * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128:032x}"),
    url=st.sampled_from(["", "#top", "http://a.example/", "http://A.example/#x", "http://b.example/", "http://c.eu"]),
    text=_texts(),
    language=st.sampled_from(["en", "en", "de"]),
    crawl=st.sampled_from(["dump", "another", *PRIORITY]),
    fetch_time=st.sampled_from([None, datetime(2023, 9, 21, tzinfo=UTC), datetime(2023, 9, 22, tzinfo=UTC)]),
    stage=st.sampled_from([None, None, None, None, *_EARLY, *_LATE]),
)
UNITS = st.lists(st.lists(_ROWS, max_size=7), min_size=1, max_size=3).map(placed)
"""One to three units; some without a page, some with none that passes."""
