"""What a task knows of the documents of one part of an index."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.plan import Plan
from pipeline.groups import Docs, numbered
from stages.segment import Hashes


class PastHome:
    """The documents of one part, all of which come before those of the run."""

    def __init__(self, plan: Plan, number: int) -> None:
        assert plan.past
        self._part = plan.past[number - len(plan.groups)]
        self._bands = plan.recipe.minhash.geometry.bands

    def keys(self, column: str, *, of_kept: bool) -> pa.Table:
        """(key, doc, id) of the documents that have a key in `column`, those alone that were kept if asked."""
        wanted = pc.field(column).is_valid()
        table = self._read([column, "place", "id"], wanted & pc.field("kept") if of_kept else wanted)
        return pa.table({"key": table[column], "doc": self._docs(table), "id": table["id"]})

    def bands(self) -> tuple[Docs, NDArray[np.uint64]]:
        """(documents that were searched, their band keys uint64[n, bands])."""
        table = self._read(["place", "bands"], pc.field("bands").is_valid())
        column = table["bands"].combine_chunks()
        keys: Hashes = np.frombuffer(column.buffers()[1] or b"", np.uint64).reshape(-1, self._bands)
        return self._docs(table), keys[column.offset :][: len(column)]

    def sketches(self, docs: Docs) -> tuple[pa.Array, pa.Array, pa.Array]:
        """(ids, sketches, numbers of shingles) of documents that were searched, in the order of `docs`."""
        table = self._read(["place", "id", "sketch", "n_shingles"], pc.field("bands").is_valid())
        place = pc.index_in(pa.array(docs), pa.array(self._docs(table)))
        rows = table.take(place).combine_chunks()
        ids, sketches, sizes = (rows[name].combine_chunks() for name in ("id", "sketch", "n_shingles"))
        return ids, sketches, sizes

    def _read(self, columns: list[str], wanted: pc.Expression) -> pa.Table:
        return pq.read_table(self._part.path, columns=columns, filters=wanted, partitioning=None)

    def _docs(self, table: pa.Table) -> Docs:
        return numbered(table["place"].to_numpy() + self._part.base, self._part.number)
