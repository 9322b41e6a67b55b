"""What deduplication decided, as publishing reads it: per group, which rows are removed and what is cut from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dedup.clusters import MEMBERS, MINHASH
from pipeline.dedup.copies import SAME_RECORD
from pipeline.dedup.home import Home, Step
from pipeline.dedup.passages import CUT_BYTES, SOURCES, SPANS, SUBSTRINGS
from pipeline.dedup.plan import Plan
from pipeline.dedup.tables import bridged_of
from pipeline.phase import Phases, Report, task_name
from stages import schema

DECIDED = "decided"
PLACE = [("warc_path", "ascending"), ("warc_offset", "ascending")]
RULES = {
    "same_record": "same_record",
    "url_dedup": "same_url",
    "exact_dedup": "same_text",
    MINHASH: "near_duplicate",
}
"""The rule of each step that has one alone."""

REMOVED_SCHEMA = pa.schema(
    [
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
        ("stage", pa.string()),
        ("rule", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("detail", pa.string()),
    ]
)
"""Rows that deduplication dropped; `detail` is the id of the row that stayed in their place."""

SIZES_SCHEMA = pa.schema([("warc_path", pa.string()), ("warc_offset", pa.int64()), ("cluster_size", pa.int64())])
"""Documents that stand for more than themselves."""


def removed_name(group: int) -> str:
    """File of what is removed of a group."""
    return f"work/dedup/{DECIDED}/removed-{task_name(group)}.parquet"


def sizes_name(group: int) -> str:
    """File of a group's documents that stand for others."""
    return f"work/dedup/{DECIDED}/sizes-{task_name(group)}.parquet"


def spans_name(group: int) -> str:
    """File of what is cut from a group's documents."""
    return f"work/dedup/{DECIDED}/spans-{task_name(group)}.parquet"


def decide(plan: Plan, phases: Phases, steps: Sequence[Step]) -> list[Report]:
    """Write the decisions of every group; the counts of each are returned."""
    return phases.run(DECIDED, partial(_decide, plan=plan, steps=steps), plan.group_numbers)


def _decide(number: int, *, plan: Plan, steps: Sequence[Step]) -> tuple[list[str], Report]:
    home = Home(plan, number)
    removed = pa.concat_tables([REMOVED_SCHEMA.empty_table(), *_removed(plan, home, steps)]).sort_by(PLACE)
    files = [removed_name(number), sizes_name(number), spans_name(number)]
    plan.store.write_table(files[0], removed, REMOVED_SCHEMA)
    plan.store.write_table(files[1], _sizes(plan, home).sort_by(PLACE), SIZES_SCHEMA)
    spans = _spans(plan, number, steps)
    plan.store.write_table(files[2], spans.select(schema.SPAN.names).cast(schema.SPAN), schema.SPAN)
    living = home.living(steps)
    report = {
        "stages": dict(Counter(removed["stage"].to_pylist())),
        "text_bytes": _text_bytes(plan, home, living, steps),
        "spans": spans.num_rows,
        "orphaned": _orphaned(plan, home, steps),
        "bridged": 0 if plan.past is None else len(bridged_of(plan, number, steps)["kept"].unique()),
    }
    return files, report


def _removed(plan: Plan, home: Home, steps: Sequence[Step]) -> Iterator[pa.Table]:
    for step in steps:
        rows, stage = home.removed(step), step[0]
        n = rows.num_rows
        if stage == SAME_RECORD:
            places = [rows["warc_path"], rows["warc_offset"]]
        else:
            mine = pa.array(home.rows_of(rows["doc"].to_numpy()))
            places = [home.table[name].take(mine) for name in ("warc_path", "warc_offset")]
        nothing = pa.nulls(n, pa.float64())
        if stage == SUBSTRINGS:
            told: list[Any] = [rows["rule"], rows["value"], rows["threshold"]]
        elif stage == MINHASH:
            threshold = pa.array(np.full(n, plan.recipe.minhash.threshold))
            told = [pa.array([RULES[stage]] * n, pa.string()), rows["similarity"], threshold]
        else:
            told = [pa.array([RULES[stage]] * n, pa.string()), nothing, nothing]
        stages = pa.array([stage] * n, pa.string())
        yield pa.Table.from_arrays([*places, stages, *told, rows["kept_id"]], schema=REMOVED_SCHEMA)


def _sizes(plan: Plan, home: Home) -> pa.Table:
    members = plan.exchange(MEMBERS).read([home.number])
    heads = members.filter(pc.equal(members["doc"], members["kept"]))
    mine = pa.array(home.rows_of(heads["doc"].to_numpy()))
    places = [home.table[name].take(mine) for name in ("warc_path", "warc_offset")]
    return pa.Table.from_arrays([*places, heads["cluster_size"]], schema=SIZES_SCHEMA)


def _spans(plan: Plan, number: int, steps: Sequence[Step]) -> pa.Table:
    if SUBSTRINGS not in dict(steps):
        return schema.SPAN.empty_table()
    return plan.exchange(SPANS).read([number])


def _text_bytes(plan: Plan, home: Home, living: Any, steps: Sequence[Step]) -> dict[str, int]:
    """Bytes of the texts that stay, by language, less what is cut."""
    n_bytes = home.table["text_bytes"].to_numpy().copy()
    rules = plan.recipe.substrings
    if rules and rules.mode == "cut" and SUBSTRINGS in dict(steps):
        lost = plan.exchange(CUT_BYTES).read([home.number])
        n_bytes[home.rows_of(lost["doc"].to_numpy())] -= lost["removed_bytes"].to_numpy()
    table = pa.table({"language": home.table["language"].take(pa.array(living)), "bytes": n_bytes[living]})
    return {
        row["language"]: row["bytes_sum"]
        for row in table.group_by("language").aggregate([("bytes", "sum")]).to_pylist()
    }


def _orphaned(plan: Plan, home: Home, steps: Sequence[Step]) -> int:
    """Spans whose first copy stood in a document of this group that was then dropped as too short."""
    removed = dict(steps)
    if SUBSTRINGS not in removed:
        return 0
    sources = plan.exchange(SOURCES).read(plan.group_numbers, home.number)["doc"].to_numpy()
    emptied = home.removed((SUBSTRINGS, removed[SUBSTRINGS]))["doc"].to_numpy()
    return int(np.isin(sources, emptied).sum())
