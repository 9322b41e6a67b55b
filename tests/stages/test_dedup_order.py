from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.dedup_order import ORDER_COLUMNS, order_rank

TIMES = [None, datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)]
SCHEMA = pa.schema(
    [
        ("crawl", pa.string()),
        ("fetch_time", pa.timestamp("us", "UTC")),
        ("id", pa.string()),
        ("warc_path", pa.string()),
        ("warc_offset", pa.int64()),
    ]
)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(TIMES),
        st.sampled_from(["0", "1", "f"]),
        st.sampled_from(["x.warc.gz", "é.warc.gz"]),
        st.integers(0, 30),
    ),
    unique_by=lambda row: row[3:],
)


def table_of(rows: list[tuple[Any, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(ORDER_COLUMNS, row, strict=True)) for row in rows], schema=SCHEMA)


def oracle_key(row: tuple[Any, ...], priority: list[str]) -> tuple[Any, ...]:
    crawl, time, identity, path, offset = row
    place = priority.index(crawl) if crawl in priority else len(priority)
    return place, time is None, time or TIMES[1], identity, path.encode(), offset


@settings(deadline=None)
@given(ROWS, st.lists(st.sampled_from(["A", "B", "C"]), unique=True))
def test_rank_is_the_place_in_the_sorted_order(rows: list[tuple[Any, ...]], priority: list[str]) -> None:
    ordered = sorted(rows, key=lambda row: oracle_key(row, priority))
    assert order_rank(table_of(rows), priority).tolist() == [ordered.index(row) for row in rows]


@settings(deadline=None)
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[tuple[Any, ...]], random: Any) -> None:
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    rank = order_rank(table_of(rows))
    assert order_rank(table_of([rows[i] for i in shuffled])).tolist() == rank[np.array(shuffled, int)].tolist()
