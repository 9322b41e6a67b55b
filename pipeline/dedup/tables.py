"""The tables of evidence: clusters and spans of all groups, each as one file in the order of documents.

Rows go to ranges of document numbers; ranges are sorted on their own and written one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dedup.clusters import BRIDGED, MEMBERS
from pipeline.dedup.home import Home, Step
from pipeline.dedup.passages import SPANS, SUBSTRINGS
from pipeline.dedup.plan import Plan
from pipeline.groups import GROUP_BITS
from pipeline.phase import Phases, Report
from stages import schema

CLUSTERS = "dedup/clusters.parquet"
SPANS_TABLE = "dedup/spans.parquet"
BRIDGED_TABLE = "dedup/bridged.parquet"
_DECLARED = {CLUSTERS: schema.CLUSTER, SPANS_TABLE: schema.SPAN, BRIDGED_TABLE: schema.BRIDGED}
_CLUSTER_ROWS, _SPAN_ROWS, _BRIDGED_ROWS = "cluster_rows", "span_rows", "bridged_rows"


def write_tables(plan: Plan, phases: Phases, steps: Sequence[Step]) -> None:
    """Write `CLUSTERS`, in the order of representatives, `SPANS_TABLE`, in that of the documents cut, and in a run with
    an index `BRIDGED_TABLE`, in that of the documents kept."""
    parts = plan.partitions(plan.n_pages)
    with_spans = SUBSTRINGS in dict(steps)
    phases.run(_CLUSTER_ROWS, partial(_send_clusters, plan=plan, n_parts=len(parts)), plan.group_numbers)
    if with_spans:
        phases.run(_SPAN_ROWS, partial(_send_spans, plan=plan, n_parts=len(parts)), plan.group_numbers)
    clusters = partial(_write, plan=plan, name=CLUSTERS, exchange=_CLUSTER_ROWS, order=("kept", "doc"), parts=parts)
    phases.run("clusters_table", clusters, [0])
    spans = partial(_write, plan=plan, name=SPANS_TABLE, exchange=_SPAN_ROWS, order=("doc", "start"), parts=parts)
    phases.run("spans_table", spans if with_spans else partial(_write_none, plan=plan), [0])
    if plan.past is not None:
        send = partial(_send_bridged, plan=plan, steps=steps, n_parts=len(parts))
        phases.run(_BRIDGED_ROWS, send, plan.group_numbers)
        order = ("kept", "indexed_id")
        write = partial(_write, plan=plan, name=BRIDGED_TABLE, exchange=_BRIDGED_ROWS, order=order, parts=parts)
        phases.run("bridged_table", write, [0])


def _send_clusters(number: int, *, plan: Plan, n_parts: int) -> tuple[list[str], Report]:
    home = Home(plan, number)
    members = plan.exchange(MEMBERS).read([number])
    ids = home.table["id"].take(pa.array(home.rows_of(members["doc"].to_numpy())))
    columns = [ids, members["kept_id"], members["kept_id"], members["similarity"], members["cluster_size"]]
    rows = pa.Table.from_arrays(
        [members["kept"], members["doc"], *columns], names=["kept", "doc", *schema.CLUSTER.names]
    )
    return _send(plan, _CLUSTER_ROWS, number, rows, "kept", n_parts)


def _send_spans(number: int, *, plan: Plan, n_parts: int) -> tuple[list[str], Report]:
    return _send(plan, _SPAN_ROWS, number, plan.exchange(SPANS).read([number]), "doc", n_parts)


def bridged_of(plan: Plan, number: int, steps: Sequence[Step]) -> pa.Table:
    """Documents of a group that no step removed, though one run over everything would have, by way of another."""
    living = Home(plan, number).living_table(steps)
    rows = plan.exchange(BRIDGED).read(plan.group_numbers, number)
    row = pc.index_in(rows["kept"], living["doc"].combine_chunks())
    return rows.filter(row.is_valid()).append_column("id", living["id"].take(row.drop_null()))


def _send_bridged(number: int, *, plan: Plan, steps: Sequence[Step], n_parts: int) -> tuple[list[str], Report]:
    return _send(plan, _BRIDGED_ROWS, number, bridged_of(plan, number, steps), "kept", n_parts)


def _send(plan: Plan, name: str, number: int, rows: pa.Table, key: str, n_parts: int) -> tuple[list[str], Report]:
    place = np.clip(rows[key].to_numpy() >> GROUP_BITS, 0, max(plan.n_pages - 1, 0))
    return [plan.exchange(name).write(number, rows, place * n_parts // max(plan.n_pages, 1), n_parts)], {}


def _write(
    _number: int, *, plan: Plan, name: str, exchange: str, order: Sequence[str], parts: range
) -> tuple[list[str], Report]:
    declared = _DECLARED[name]

    def tables() -> Iterator[pa.Table]:
        yield declared.empty_table()
        for part in parts:
            table = plan.exchange(exchange).read(plan.group_numbers, part)
            table = table.sort_by([(column, "ascending") for column in order])
            yield table.select(declared.names).cast(declared).combine_chunks()

    return [name], {"rows": plan.store.write_tables(name, declared, tables())}


def _write_none(_number: int, *, plan: Plan) -> tuple[list[str], Report]:
    return [SPANS_TABLE], {"rows": plan.store.write_table(SPANS_TABLE, schema.SPAN.empty_table(), schema.SPAN)}
