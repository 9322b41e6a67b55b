"""The total order that decides which of several copies is kept: the earlier one.

Source priority from the recipe, then fetch time with missing last, then id, warc_path, warc_offset. The last two make
the order total, whatever order the rows come in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_MISSING = (1 << 64) - 1

ORDER_COLUMNS = ("crawl", "fetch_time", "id", "warc_path", "warc_offset")
"""Columns that `order_rank` reads."""


def order_rank(table: pa.Table | pa.RecordBatch, source_priority: Sequence[str] = ()) -> NDArray[np.int64]:
    """Rank of each row, 0 for the first to keep: a permutation of 0 .. n - 1.

    `source_priority` lists values of `crawl`, the preferred first; those not listed follow together.
    """
    place = pc.index_in(table.column("crawl"), value_set=pa.array(source_priority, pa.string()))
    columns = {"place": place.fill_null(len(source_priority))} | {name: table.column(name) for name in ORDER_COLUMNS}
    keys = pa.table(columns)
    sort_keys = [(name, "ascending") for name in ("place", *ORDER_COLUMNS[1:])]
    order = pc.sort_indices(keys, sort_keys=sort_keys).to_numpy()  # nulls come last unless told otherwise
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def order_keys(table: pa.Table | pa.RecordBatch, source_priority: Sequence[str] = ()) -> NDArray[np.bytes_]:
    """The order's first three columns as bytes that sort alike, `S44`: only rows of one id can have equal keys.

    Four bytes for the place of the source, eight for the time (µs, shifted to be positive), 32 for the id.
    """
    place = pc.index_in(table.column("crawl"), value_set=pa.array(source_priority, pa.string()))
    place = place.fill_null(len(source_priority)).to_numpy(zero_copy_only=False)
    time = table.column("fetch_time").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    known = time.is_valid().to_numpy(zero_copy_only=False)
    micros = time.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64).view(np.uint64) ^ np.uint64(1 << 63)
    micros[~known] = _MISSING
    keys = np.empty(table.num_rows, [("place", ">u4"), ("time", ">u8"), ("id", "S32")])
    keys["place"], keys["time"] = place, micros
    keys["id"] = table.column("id").to_numpy(zero_copy_only=False).astype("S32")
    return keys.view("S44")
