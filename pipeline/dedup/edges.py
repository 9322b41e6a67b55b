"""Verified edges: what an earlier document is compared by goes to the groups of the later ones, to be compared."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dedup.candidates import FIRST, OTHER, UNLIKE, band_partitions
from pipeline.dedup.home import Home
from pipeline.dedup.likeness import described, similarities, sketch_column
from pipeline.dedup.past import PastHome
from pipeline.dedup.plan import Plan
from pipeline.groups import group_of
from pipeline.phase import Phases, Report
from stages.runs import run_starts

EDGES = {FIRST: "first_edges", OTHER: "other_edges"}
"""By round, the exchange of edges, each with the group of its later document alone: `EDGE`."""
EDGE = pa.schema(
    [("earlier", pa.int64()), ("later", pa.int64()), ("similarity", pa.float64()), ("earlier_id", pa.string())]
)
_SETS = {FIRST: "first_sets", OTHER: "other_sets"}


def verify_pairs(plan: Plan, phases: Phases, pairs: str) -> int:
    """Verify the pairs of one round; returns the number of edges, those of both rounds counted twice."""
    phases.run(_SETS[pairs], partial(_send_sets, plan=plan, pairs=pairs), plan.homes)
    reports = phases.run(EDGES[pairs], partial(_compare, plan=plan, pairs=pairs), plan.group_numbers)
    return sum(report["edges"] for report in reports)


def _send_sets(number: int, *, plan: Plan, pairs: str) -> tuple[list[str], Report]:
    """One row for each earlier document and group of later ones: its set, the later documents, and who asked."""
    asked = plan.exchange(pairs).read(band_partitions(plan), number)
    earlier, later, part = (asked[name].to_numpy() for name in ("earlier", "later", "part"))
    order = np.lexsort((part, later, group_of(later), earlier))
    earlier = earlier[order]  # one after the other: there may be many
    later = later[order]
    part = part[order]
    to = group_of(later)
    starts = np.flatnonzero(run_starts(earlier, to))
    ends = np.append(starts, earlier.size)
    docs = np.unique(earlier)
    if number in plan.group_numbers:
        home = Home(plan, number)
        ids, sets = home.ids_of(docs), described(plan, home.texts_of(docs))
    else:
        ids, *sketches = PastHome(plan, number).sketches(docs)
        sets = sketch_column(*sketches)
    mine = pa.array(np.searchsorted(docs, earlier[starts]))
    table = pa.table(
        {
            "earlier": earlier[starts],
            "id": ids.take(mine),
            "set": sets.take(mine),
            "later": pa.LargeListArray.from_arrays(pa.array(ends), pa.array(later)),
            "part": pa.LargeListArray.from_arrays(pa.array(ends), pa.array(part)),
        }
    )
    return [plan.exchange(_SETS[pairs]).write(number, table, to[starts], len(plan.groups))], {}


def _compare(number: int, *, plan: Plan, pairs: str) -> tuple[list[str], Report]:
    home = Home(plan, number)
    sent = plan.exchange(_SETS[pairs]).read(plan.homes, number).combine_chunks()
    theirs, their_row = sent["set"].combine_chunks(), pc.list_parent_indices(sent["later"]).to_numpy()
    later, part = (pc.list_flatten(sent[name]).to_numpy() for name in ("later", "part"))
    new = run_starts(later, their_row)  # one pair, asked for by many partitions
    docs, own_row = np.unique(later[new], return_inverse=True)
    found = similarities(theirs, their_row[new], described(plan, home.texts_of(docs)), own_row)
    like = found >= plan.recipe.minhash.threshold
    rows = their_row[new][like]
    edges = pa.table(
        [sent["earlier"].take(pa.array(rows)), later[new][like], found[like], sent["id"].take(pa.array(rows))],
        schema=EDGE,
    )
    files = [plan.exchange(EDGES[pairs]).write(number, edges)]
    if pairs == FIRST:
        failed = ~like[np.cumsum(new) - 1]
        earlier = sent["earlier"].to_numpy()[their_row[failed]]
        unlike = pa.table({"earlier": earlier, "later": later[failed]})
        files.append(plan.exchange(UNLIKE).write(number, unlike, part[failed], len(band_partitions(plan))))
    return files, {"edges": edges.num_rows, "compared": int(new.sum())}
