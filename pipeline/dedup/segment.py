"""A run's segment of an index: what later dumps need to know of its documents."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.dedup.home import Home, Step
from pipeline.dedup.likeness import described
from pipeline.dedup.plan import Plan
from pipeline.groups import GROUP_BITS
from pipeline.index import segment_schema
from pipeline.phase import Phases, Report, task_name

SEGMENT = "segment"

Rows = NDArray[np.int64]


def part_name(group: int) -> str:
    """File of one group's part."""
    return f"work/{SEGMENT}/part-{task_name(group)}.parquet"


def write_segment(plan: Plan, phases: Phases, before: Sequence[Sequence[Step]]) -> None:
    """Write the parts of all groups.

    before: the steps before deduplication, before texts were compared, before near-duplicates were sought, and all up
    to that search: what each saw is what a later run's step may compare with.
    """
    phases.run(SEGMENT, partial(_write, plan=plan, before=before), plan.group_numbers)


def _write(number: int, *, plan: Plan, before: Sequence[Sequence[Step]]) -> tuple[list[str], Report]:
    home = Home(plan, number)
    reached, compared, searched, kept = (home.living(steps) for steps in before)
    columns: dict[str, Any] = {
        "place": home.docs >> GROUP_BITS,
        "id": home.table["id"],
        "crawl": home.table["crawl"].dictionary_encode(),
        "kept": _mask(home, kept),
        "url_key": home.table["url_key"],
        "text_key": _only(home.table["text_key"].combine_chunks(), _mask(home, compared)),
        **_search_columns(plan, home, searched),
    }
    declared = segment_schema(plan.recipe.minhash.geometry)
    table = pa.table(columns).select(declared.names).take(pa.array(reached)).sort_by("place")
    table = table.combine_chunks().unify_dictionaries().cast(declared)
    plan.store.write_table(part_name(number), table, declared)
    return [part_name(number)], {"documents": table.num_rows}


def _search_columns(plan: Plan, home: Home, searched: Rows) -> dict[str, pa.Array]:
    """Band keys and sketches of the documents that were searched, null for others."""
    place = np.full(len(home.docs), -1)
    place[searched] = np.arange(searched.size)
    row = pa.array(place, mask=place < 0)
    keys = home.band_keys(searched)
    width = 8 * keys.shape[1]
    bands = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(keys), [None, pa.py_buffer(keys.tobytes())])
    sketches = [described(plan, texts) for _, texts in home.text_batches(searched)]
    column = pa.concat_arrays([described(plan, pa.array([], pa.large_string())), *sketches])
    named = {name: column.field(name).take(row) for name in ("sketch", "n_shingles")}
    return {"bands": bands.take(row), **named}


def _mask(home: Home, rows: Rows) -> NDArray[np.bool_]:
    mask = np.zeros(len(home.docs), np.bool_)
    mask[rows] = True
    return mask


def _only(column: pa.Array, wanted: NDArray[np.bool_]) -> pa.Array:
    rows = np.arange(len(column))
    return column.take(pa.array(rows, mask=~wanted))
