"""Counts by language and by domain over all groups, exact however many names there are.

A name's counts meet in the partition of its hash; what is largest of each partition goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.dedup.exchange import by_hash
from stages.runs import run_starts

LANGUAGE, DOMAIN = "language", "domain"
KINDS = (LANGUAGE, DOMAIN)
"""What a name is of: the column `kind` beside `name`."""

Rows = NDArray[np.int64]


def counted(names: Mapping[str, pa.Array[Any]], counts: Mapping[str, Rows], keys: Sequence[str] = ()) -> pa.Table:
    """Sums of `counts`, int64[n] each, by the names of each kind; those of `keys` are no counts but told apart."""
    tables = [
        pa.table({"kind": pa.repeat(pa.scalar(kind), len(column)), "name": column, **counts})
        for kind, column in names.items()
    ]
    return summed(pa.concat_tables(tables), [*keys, "kind", "name"])


def summed(rows: pa.Table, keys: list[str]) -> pa.Table:
    """A row for each combination of `keys`, in their order, with the sums of the other columns."""
    counts = [name for name in rows.column_names if name not in keys]
    sums = rows.group_by(keys).aggregate([(name, "sum") for name in counts])
    sums = sums.select([*keys, *(f"{name}_sum" for name in counts)]).rename_columns([*keys, *counts])
    return sums.sort_by([(key, "ascending") for key in keys])


def kind_codes(rows: pa.Table) -> Rows:
    """The place in `KINDS` of each row's kind."""
    return np.array([KINDS.index(name) for name in rows["kind"].to_pylist()], np.int64)


def by_name(rows: pa.Table, n_parts: int) -> Rows:
    """The partition of each row's name."""
    encoded = rows["name"].combine_chunks().dictionary_encode()
    hashes = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
    return by_hash(np.frombuffer(b"".join(hashes), np.uint64)[encoded.indices.to_numpy()], n_parts)


def largest_of_each(groups: Rows, sizes: Rows, n: int) -> Rows:
    """Rows of the n largest of each group, group by group, largest first, of equals the first row."""
    order = np.lexsort((np.arange(sizes.size), -sizes, groups))
    new = run_starts(groups[order])
    place = np.arange(order.size) - np.flatnonzero(new)[np.cumsum(new) - 1]
    largest: Rows = order[place < n]
    return largest
