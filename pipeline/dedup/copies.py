"""Records read twice, and pages with one URL or one text: of each key the first stays.

Keys go to ranges of hashes, where the first of each is found; what is removed goes back to its group.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.exchange import by_hash
from pipeline.dedup.home import Home, Step, removals
from pipeline.dedup.past import PastHome
from pipeline.dedup.plan import Plan
from pipeline.groups import Source, group_of
from pipeline.phase import Phases, Report
from pipeline.unit import table_name
from stages.runs import run_starts

SAME_RECORD = "same_record"
NOT_A_DOCUMENT = -1
_CAPTURES = "captures"
_PLACE = pa.schema([("id", pa.string()), ("warc_path", pa.string()), ("warc_offset", pa.int64())])

Rows = NDArray[np.int64]


def drop_repeated_records(plan: Plan, phases: Phases) -> Step:
    """Of all captures with one id, dropped ones included, the first by input and offset stays."""
    parts = plan.partitions(plan.n_captures)
    phases.run(_CAPTURES, partial(_send_captures, plan=plan, n_parts=len(parts)), plan.group_numbers)
    phases.run(removals(SAME_RECORD), partial(_find_repeated, plan=plan), parts)
    return SAME_RECORD, parts


def drop_copies(plan: Plan, phases: Phases, step: str, column: str, earlier: Sequence[Step]) -> Step:
    """Of the pages that earlier steps left and that have one key in `column`, the first in the order stays.

    The keys of an index count as earlier pages.
    """
    parts = plan.partitions(plan.n_pages)
    send = partial(_send_keys, plan=plan, step=step, column=column, earlier=earlier, n_parts=len(parts))
    phases.run(_keys(step), send, plan.homes)
    phases.run(removals(step), partial(_find_copies, plan=plan, step=step), parts)
    return step, parts


def first_of_each(codes: NDArray[Any], rank: Rows) -> Rows:
    """For each row, the row of lowest rank that has its code."""
    order = np.lexsort((rank, codes))
    first = np.empty(len(codes), np.int64)
    if len(codes):
        starts = run_starts(codes[order])
        first[order] = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return first


def _keys(step: str) -> str:
    return f"{step}_keys"


def _send_captures(number: int, *, plan: Plan, n_parts: int) -> tuple[list[str], Report]:
    """All captures of a group in the order of their places, each with its document's number where it has one."""
    home = Home(plan, number)
    tables = [_captures(plan, source) for source in plan.groups[number].sources]
    table = pa.concat_tables([_PLACE.empty_table(), *tables])
    known = home.table.select(["warc_path", "warc_offset", "doc"])
    table = table.append_column("row", pa.array(np.arange(table.num_rows)))
    table = table.join(known, ["warc_path", "warc_offset"], join_type="left outer").sort_by("row")
    table = table.set_column(
        table.schema.get_field_index("doc"), "doc", pc.fill_null(table["doc"], NOT_A_DOCUMENT)
    ).select([*_PLACE.names, "doc"])
    receiver = by_hash(_id_hashes(table["id"].combine_chunks()), n_parts)
    table = table.append_column("group", pa.array(np.full(table.num_rows, number)))
    return [plan.exchange(_CAPTURES).write(number, table, receiver, n_parts)], {}


def _captures(plan: Plan, source: Source) -> pa.Table:
    paths = [plan.store.path(table_name(folder, source.unit)) for folder in ("extracted", "dropped")]
    tables = [pq.read_table(path, columns=_PLACE.names, partitioning=None).cast(_PLACE) for path in paths]
    return pa.concat_tables(tables).sort_by("warc_offset")


def _find_repeated(part: int, *, plan: Plan) -> tuple[list[str], Report]:
    table = plan.exchange(_CAPTURES).read(plan.group_numbers, part)
    codes = table["id"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = first_of_each(codes, np.arange(len(codes)))
    repeated = table.take(pa.array(np.flatnonzero(first != np.arange(len(codes)))))
    rows = repeated.select(["doc", "warc_path", "warc_offset"]).append_column("kept_id", repeated["id"])
    return [plan.exchange(removals(SAME_RECORD)).write(part, rows, repeated["group"].to_numpy(), len(plan.groups))], {}


def _send_keys(
    number: int, *, plan: Plan, step: str, column: str, earlier: Sequence[Step], n_parts: int
) -> tuple[list[str], Report]:
    if number in plan.group_numbers:
        rows = Home(plan, number).living_table(earlier)
        rows = rows.filter(rows[column].is_valid())
        table = pa.table({"key": rows[column], "doc": rows["doc"], "id": rows["id"]})
    else:
        of_kept = column == "url_key" and plan.recipe.dedup.url == "kept"
        table = PastHome(plan, number).keys(column, of_kept=of_kept)
    receiver = by_hash(_first_words(table["key"].combine_chunks()), n_parts)
    return [plan.exchange(_keys(step)).write(number, table, receiver, n_parts)], {}


def _find_copies(part: int, *, plan: Plan, step: str) -> tuple[list[str], Report]:
    table = plan.exchange(_keys(step)).read(plan.homes, part)
    docs = table["doc"].to_numpy()
    codes = table["key"].combine_chunks().dictionary_encode().indices.to_numpy()
    first = first_of_each(codes, docs)
    copies = np.flatnonzero((docs[first] != docs) & (docs >= 0))
    rows = pa.table({"doc": docs[copies], "kept_id": table["id"].take(pa.array(first[copies]))})
    return [plan.exchange(removals(step)).write(part, rows, group_of(docs[copies]), len(plan.groups))], {}


def _first_words(keys: pa.FixedSizeBinaryArray) -> NDArray[np.uint64]:
    """The first eight bytes of digests."""
    stored = np.frombuffer(keys.buffers()[1], ">u8").reshape(-1, keys.type.byte_width // 8)
    return stored[keys.offset : keys.offset + len(keys), 0].astype(np.uint64)


def _id_hashes(ids: pa.StringArray) -> NDArray[np.uint64]:
    """Ids are digests in hexadecimal: their first sixteen digits."""
    joined = "".join(pc.utf8_slice_codeunits(ids, 0, 16).to_pylist())
    return np.frombuffer(binascii.unhexlify(joined), ">u8").astype(np.uint64)
