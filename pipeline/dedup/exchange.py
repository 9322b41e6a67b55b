"""Files by which the tasks of one phase hand rows to those of the next: one a sender, a record batch a receiver.

An Arrow file's footer says where each batch lies, so a receiver reads of every sender its own rows and no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.phase import task_name
from pipeline.store import Store

FOLDER = "work/dedup"
_NARROW = 1 << 16


@dataclass(frozen=True)
class Exchange:
    """The files of one exchange, below the run's folder."""

    store: Store
    name: str

    def write(
        self, sender: int, rows: pa.Table, receiver: NDArray[np.integer[Any]] | int = 0, n_receivers: int = 1
    ) -> str:
        """Write the rows of one sender, `receiver[i]` saying for whom row i is, or one number for whom all are.

        Rows for one receiver keep their order. Returns the file's name.
        """
        if isinstance(receiver, int):
            ends = [rows.num_rows * (number >= receiver) for number in range(n_receivers)]
        elif n_receivers > 1:
            narrow = np.uint16 if n_receivers <= _NARROW else np.int64  # numpy sorts 16 bits by radix, ten times faster
            rows = rows.take(pa.array(np.argsort(receiver.astype(narrow), kind="stable")))
            ends = np.cumsum(np.bincount(receiver, minlength=n_receivers)).tolist()
        else:
            ends = [rows.num_rows]
        columns = [column.combine_chunks() for column in rows.columns]
        file = self._file(sender)
        with self.store.writing(file) as path, pa.ipc.new_file(path, rows.schema) as writer:
            for start, end in pairwise([0, *ends]):
                part = [column.slice(start, end - start) for column in columns]
                writer.write_batch(pa.RecordBatch.from_arrays(part, schema=rows.schema))
        return file

    def read(self, senders: Iterable[int], receiver: int = 0) -> pa.Table:
        """The rows for one receiver, in the order of the senders given."""
        return pa.Table.from_batches([self._batch(sender, receiver) for sender in senders])

    def _batch(self, sender: int, receiver: int) -> pa.RecordBatch:
        with pa.memory_map(str(self.store.path(self._file(sender)))) as source:
            return pa.ipc.open_file(source).get_batch(receiver)

    def _file(self, sender: int) -> str:
        return f"{FOLDER}/{self.name}/{task_name(sender)}.arrow"


def by_hash(keys: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """Which of n < 2³² equal ranges of 64-bit hashes each falls into."""
    return ((keys >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)).astype(np.int64)
