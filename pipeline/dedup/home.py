"""What a task knows of the documents of its own group, in the order of the group's tables."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.dedup.order import DOCUMENTS, keys_table
from pipeline.dedup.plan import Plan
from pipeline.groups import Docs
from pipeline.unit import table_name
from stages.keys import band_column
from stages.minhash import NO_KEY

Rows = NDArray[np.int64]

Step = tuple[str, range]
"""A step's name, and the tasks that say what it removed."""


def removals(step: str) -> str:
    """Exchange of the documents that a step removes, for their groups: `doc`, `kept_id`, and what else it measured."""
    return f"{step}_removed"


class Home:
    """The documents of one group."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._group = plan.groups[number]
        self.number = number
        self.table = plan.exchange(DOCUMENTS).read([number]).combine_chunks()

    @property
    def docs(self) -> Docs:
        """Numbers of the documents, int64[n]."""
        docs: Docs = self.table["doc"].to_numpy()
        return docs

    @functools.cached_property
    def _by_number(self) -> Rows:
        return np.argsort(self.docs)

    def rows_of(self, docs: Docs) -> Rows:
        """Rows of documents that belong to this group; ValueError for one that does not."""
        place = np.searchsorted(self.docs, docs, sorter=self._by_number)
        rows = self._by_number[np.minimum(place, len(self.docs) - 1)]
        if (self.docs[rows] != docs).any():
            raise ValueError(f"group {self.number}: asked for documents of another")
        return rows

    def removed(self, step: Step) -> pa.Table:
        """What a step removed of this group."""
        name, senders = step
        return self._plan.exchange(removals(name)).read(senders, self.number)

    def living(self, steps: Sequence[Step]) -> Rows:
        """Rows that none of the steps has removed."""
        gone = [self.removed(step)["doc"] for step in steps]
        dead = np.isin(self.docs, np.concatenate([np.empty(0, np.int64), *(column.to_numpy() for column in gone)]))
        return np.flatnonzero(~dead)

    def living_table(self, steps: Sequence[Step]) -> pa.Table:
        """The documents that no step has removed."""
        return self.table.take(pa.array(self.living(steps)))

    def band_keys(self, rows: Rows) -> NDArray[np.uint64]:
        """Band keys, uint64[n, bands]; those of one language differ from those of any other, if that is asked."""
        names = [band_column(band) for band in range(self._plan.recipe.minhash.geometry.bands)]
        table = keys_table(self._plan, self._group, names)
        keys = np.stack([table[name].to_numpy()[rows] for name in names], axis=1)
        if self._plan.recipe.minhash.across_languages:
            return keys
        salted = keys ^ _salts(self.table["language"])[rows, None]
        salted[salted == NO_KEY] += np.uint64(1)
        return np.where(keys == NO_KEY, np.uint64(NO_KEY), salted)

    def ids_of(self, docs: Docs) -> pa.Array:
        """Ids of documents, in the order of `docs`."""
        return self.table["id"].take(pa.array(self.rows_of(docs))).combine_chunks()

    def texts_of(self, docs: Docs) -> pa.Array:
        """Corrected texts of documents, in the order of `docs`, as large strings."""
        rows, place = np.unique(self.rows_of(docs), return_inverse=True)
        pieces = [text for _, text in self.text_batches(rows)]
        return pa.concat_arrays([pa.array([], pa.large_string()), *pieces]).take(pa.array(place))

    def text_batches(self, rows: Rows) -> Iterator[tuple[Rows, pa.Array]]:
        """Corrected texts of rows that ascend, unit by unit, with the rows that they are of."""
        yield from self._batches(rows, "corrected")

    def urls(self, rows: Rows) -> pa.Array:
        """Addresses of rows that ascend, as written."""
        pieces = [column.cast(pa.string()) for _, column in self._batches(rows, "url")]
        return pa.concat_arrays([pa.array([], pa.string()), *pieces])

    def _batches(self, rows: Rows, column: str) -> Iterator[tuple[Rows, pa.Array]]:
        ends = np.cumsum([self._n_rows(source.unit) for source in self._group.sources])
        for source, mine in zip(self._group.sources, np.split(rows, np.searchsorted(rows, ends)[:-1]), strict=True):
            if len(mine):
                path = self._plan.store.path(table_name("extracted", source.unit))
                passing = pc.field("verdict_stage").is_null()
                table = pq.read_table(path, columns=["warc_offset", column], filters=passing, partitioning=None)
                offsets = self.table["warc_offset"].take(pa.array(mine)).combine_chunks()
                place = pc.index_in(offsets, table["warc_offset"].combine_chunks())
                yield mine, table[column].cast(pa.large_string()).combine_chunks().take(place)

    def _n_rows(self, unit: str) -> int:
        return int(pq.read_metadata(self._plan.store.path(table_name("keys", unit))).num_rows)


def _salts(languages: pa.ChunkedArray) -> NDArray[np.uint64]:
    """A number per row that is the same for pages of one language and no other."""
    encoded = languages.combine_chunks().dictionary_encode()
    salts = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
    rows: NDArray[np.uint64] = np.frombuffer(b"".join(salts), np.uint64)[encoded.indices.to_numpy()]
    return rows
