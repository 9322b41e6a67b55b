"""Numbers for the documents: their places in the order in which the first copy is kept, over all groups.

A sort by sampling: groups send their order keys to ranges of keys, each range is sorted, and the places go back.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.plan import Plan
from pipeline.groups import Group, numbered
from pipeline.phase import Phases, Report
from pipeline.unit import table_name
from stages import keys
from stages.dedup_order import ORDER_COLUMNS, order_keys

DOCUMENTS = "documents"
_SAMPLE, _SENT, _PLACES = "order_sample", "order_sent", "order_places"
_SAMPLES_PER_GROUP = 64
_KEPT = ["id", "crawl", "warc_path", "warc_offset", "language", "text_bytes", "url_key", "text_key"]


def number_documents(plan: Plan, phases: Phases) -> int:
    """Write the exchange `DOCUMENTS`: each group's documents with their numbers `doc`, in the order of its tables.

    Returns the bytes of all texts.
    """
    ranges = plan.partitions(plan.n_pages)
    cuts: list[bytes] = []
    if len(ranges) > 1:
        samples = phases.run(_SAMPLE, partial(_sample, plan=plan), plan.group_numbers)
        cuts = _cuts([bytes.fromhex(key) for sample in samples for key in sample["keys"]], len(ranges))
    sent = phases.run(_SENT, partial(_send, plan=plan, cuts=cuts), plan.group_numbers)
    firsts = np.cumsum([0, *np.sum([report["rows"] for report in sent], axis=0)]).tolist()
    phases.run(_PLACES, partial(_place, plan=plan, firsts=firsts), ranges)
    documents = phases.run(DOCUMENTS, partial(_number, plan=plan, n_ranges=len(ranges)), plan.group_numbers)
    return sum(report["text_bytes"] for report in documents)


def keys_table(plan: Plan, group: Group, columns: list[str]) -> pa.Table:
    """Columns of the keys of a group's pages, in the order of its units."""
    declared = pa.schema([keys.schema(plan.recipe.minhash.geometry).field(name) for name in columns])
    paths = [plan.store.path(table_name("keys", source.unit)) for source in group.sources]
    tables = [pq.read_table(path, columns=columns, partitioning=None).cast(declared) for path in paths]
    return pa.concat_tables([declared.empty_table(), *tables])


def _order_keys(plan: Plan, number: int) -> Any:
    table = keys_table(plan, plan.groups[number], list(ORDER_COLUMNS))
    return order_keys(table, plan.recipe.source_priority)


def _sample(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    ordered = np.sort(_order_keys(plan, number))
    chosen = ordered[np.linspace(0, ordered.size - 1, min(_SAMPLES_PER_GROUP, ordered.size)).astype(np.int64)]
    return [], {"keys": [key.hex() for key in chosen.tolist()]}


def _cuts(samples: list[bytes], n_ranges: int) -> list[bytes]:
    """Keys that begin the second and each further range."""
    ordered = sorted(samples)
    return [ordered[len(ordered) * i // n_ranges] for i in range(1, n_ranges)]


def _send(number: int, *, plan: Plan, cuts: list[bytes]) -> tuple[list[str], Report]:
    sent = _order_keys(plan, number)
    receiver = np.searchsorted(np.array(cuts, sent.dtype), sent, side="right")
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(sent.itemsize), sent.size, [None, pa.py_buffer(sent)])
    rows = pa.table({"key": column, "row": np.arange(sent.size)})
    file = plan.exchange(_SENT).write(number, rows, receiver, len(cuts) + 1)
    return [file], {"rows": np.bincount(receiver, minlength=len(cuts) + 1).tolist()}


def _place(part: int, *, plan: Plan, firsts: list[int]) -> tuple[list[str], Report]:
    """Sort one range of keys; equal keys, of a record read twice, keep the order of their groups and rows."""
    batches = [plan.exchange(_SENT).read([number], part) for number in plan.group_numbers]
    group = np.repeat(plan.group_numbers, [batch.num_rows for batch in batches])
    rows = pa.concat_tables(batches)
    column = rows["key"].combine_chunks()
    stored = np.frombuffer(column.buffers()[1], f"S{column.type.byte_width}")[column.offset :][: len(column)]
    order = np.argsort(stored, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = firsts[part] + np.arange(len(order))
    table = pa.table({"row": rows["row"], "place": place})
    return [plan.exchange(_PLACES).write(part, table, group, len(plan.groups))], {}


def _number(number: int, *, plan: Plan, n_ranges: int) -> tuple[list[str], Report]:
    group = plan.groups[number]
    places = plan.exchange(_PLACES).read(range(n_ranges), number)
    doc = np.empty(places.num_rows, np.int64)
    doc[places["row"].to_numpy()] = numbered(places["place"].to_numpy(), number)
    table = keys_table(plan, group, _KEPT).append_column("doc", pa.array(doc))
    text_bytes = int(np.sum(table["text_bytes"].to_numpy()))
    return [plan.exchange(DOCUMENTS).write(number, table)], {"text_bytes": text_bytes}
