"""Phase two: which pages are copies. Repeated records, equal URLs, equal texts, then near-duplicates.

One task over the keys of all units; each step sees only the survivors of the one before, and of several copies the
first in the order of `stages.dedup_order` stays. Memory: about 300 bytes a page, and the shingle sets of the pages
that share a band.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.manifest import Manifest
from pipeline.publish import REMOVED, REMOVED_SCHEMA, SIZES, SIZES_SCHEMA, Source
from pipeline.recipe import MinhashRecipe, Recipe
from pipeline.store import Store
from pipeline.unit import table_name
from stages import schema
from stages.clusters import cluster_table
from stages.dedup_order import ORDER_COLUMNS, order_rank
from stages.keys import band_column
from stages.minhash import NO_KEY, shingle_sets
from stages.verify import Buckets, Edges, VerifyRules, candidate_groups, verify

PHASE = "dedup"
CLUSTERS = "dedup/clusters.parquet"
PLACE = [("warc_path", "ascending"), ("warc_offset", "ascending")]

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

SAME_RECORD = ("same_record", "same_record")
SAME_URL = ("url_dedup", "same_url")
SAME_TEXT = ("exact_dedup", "same_text")
NEAR_DUPLICATE = ("minhash", "near_duplicate")


def deduplicate(key: str, *, output: Path, recipe: Recipe, sources: Sequence[Source]) -> dict[str, Any]:
    """Decide over all pages that passed; write the decisions, then the manifest record, which is returned."""
    store = Store(output)
    manifest = Manifest(store, PHASE)
    if record := manifest.done("all", key):
        return record
    started_s = time.process_time()
    search = _Search(store, recipe, sources)
    report = search.run()
    removed = pa.concat_tables([REMOVED_SCHEMA.empty_table(), *search.removed])
    store.write_table(REMOVED, removed.sort_by(PLACE), REMOVED_SCHEMA)  # by input, so that a shard skips the others
    store.write_table(SIZES, search.sizes.sort_by(PLACE), SIZES_SCHEMA)
    store.write_table(CLUSTERS, search.clusters, schema.CLUSTER)
    report["cpu_s"] = time.process_time() - started_s
    return manifest.finish("all", key, [REMOVED, SIZES, CLUSTERS], report)


class _Search:
    """The pages that passed, in the order of `sources`, and which of them are still alive."""

    def __init__(self, store: Store, recipe: Recipe, sources: Sequence[Source]) -> None:
        self._store = store
        self._recipe = recipe
        self._sources = sources
        columns = [*ORDER_COLUMNS, "language", "text_bytes", "url_key", "text_key"]
        tables = [self._read("keys", source, columns) for source in sources]
        self._ends = np.cumsum([table.num_rows for table in tables])
        self._pages = pa.concat_tables(tables).combine_chunks()
        self._rank = order_rank(self._pages, recipe.source_priority)
        self._salt = _salts(self._pages["language"].combine_chunks())
        self._alive: Mask = np.ones(self._pages.num_rows, np.bool_)
        self.removed: list[pa.Table] = []
        self.sizes = SIZES_SCHEMA.empty_table()
        self.clusters = schema.CLUSTER.empty_table()

    def run(self) -> dict[str, Any]:
        """Take the steps in their order; return the counts."""
        self._drop_repeated_records()
        self._drop_copies("url_key", SAME_URL)
        self._drop_copies("text_key", SAME_TEXT)
        edges = self._drop_near_duplicates(self._recipe.minhash)
        stages = Counter[str]()
        for table in self.removed:
            stages.update(table["stage"].to_pylist())
        return {
            "stages": dict(stages),
            "text_bytes": self._text_bytes(),
            "edges": len(edges.earlier),
            "cut": edges.n_cut,
        }

    def _drop_repeated_records(self) -> None:
        """Of all captures with one id, dropped ones included, the first in (warc_path, warc_offset) stays."""
        places = pa.concat_tables(self._all_captures()).sort_by(PLACE)
        codes = places["id"].combine_chunks().dictionary_encode().indices.to_numpy()
        first = _first_of_each(codes, np.arange(len(codes)))
        repeated = np.flatnonzero(first != np.arange(len(codes)))
        rows = places.take(pa.array(repeated))
        self.removed.append(_removal(rows, SAME_RECORD, places["id"].take(pa.array(first[repeated]))))
        gone = set(zip(rows["warc_path"].to_pylist(), rows["warc_offset"].to_pylist(), strict=True))
        suspects = np.flatnonzero(pc.is_in(self._pages["id"], rows["id"].combine_chunks()).to_numpy())
        here = self._pages.select(["warc_path", "warc_offset"]).take(pa.array(suspects)).to_pylist()
        dead = [
            row for row, page in zip(suspects, here, strict=True) if (page["warc_path"], page["warc_offset"]) in gone
        ]
        self._alive[dead] = False

    def _drop_copies(self, column: str, name: tuple[str, str]) -> None:
        """Of the living pages with one key, the first in the order stays; pages without a key are left alone."""
        keys = self._pages[column].combine_chunks()
        candidates = np.flatnonzero(self._alive & keys.is_valid().to_numpy(zero_copy_only=False))
        codes = keys.take(pa.array(candidates)).dictionary_encode().indices.to_numpy()
        kept = candidates[_first_of_each(codes, self._rank[candidates])]
        copies = candidates != kept
        self._kill(candidates[copies], kept[copies], name)

    def _drop_near_duplicates(self, rules: MinhashRecipe) -> Edges:
        """Of each cluster of verified near-duplicates, the first in the order stays."""
        living = np.flatnonzero(self._alive)
        buckets = [self._bucket(band, living) for band in range(rules.geometry.bands)]
        rows = np.unique(np.concatenate([np.empty(0, np.int64), *(bucket.members for bucket in buckets)]))
        local = [Buckets(np.searchsorted(rows, bucket.members), bucket.offsets) for bucket in buckets]
        rank = np.argsort(np.argsort(self._rank[rows]))
        sets = shingle_sets(self._texts(rows), rules.geometry)
        edges = verify(local, rank, sets, VerifyRules(threshold=rules.threshold, cap=rules.cap))
        table = cluster_table(self._pages["id"].combine_chunks().take(pa.array(rows)), rank, edges)
        self._settle_clusters(table, rows, rules.threshold)
        return edges

    def _settle_clusters(self, table: pa.Table, rows: Rows, threshold: float) -> None:
        ids = self._pages["id"].take(pa.array(rows)).combine_chunks()
        members = rows[pc.index_in(table["id"], ids).to_numpy()]
        kept = rows[pc.index_in(table["representative_id"], ids).to_numpy()]
        copies = members != kept
        similarity = table["similarity"].filter(pa.array(copies))
        self._kill(members[copies], kept[copies], NEAR_DUPLICATE, similarity, threshold)
        heads = pa.array(members[~copies])
        places = self._pages.select(["warc_path", "warc_offset"]).take(heads)
        self.sizes = places.append_column("cluster_size", table["cluster_size"].filter(pa.array(~copies))).cast(
            SIZES_SCHEMA
        )
        self.clusters = table

    def _bucket(self, band: int, living: Rows) -> Buckets:
        """Pages that share a key of one band, within a language."""
        name = band_column(band)
        keys = pa.concat_tables(self._read("keys", source, [name]) for source in self._sources)[name].to_numpy()[living]
        salted = np.where(keys == NO_KEY, keys, keys ^ self._salt[living])
        found = candidate_groups(salted)
        return Buckets(living[found.members], found.offsets)

    def _texts(self, rows: Rows) -> pa.Array:
        """Corrected texts of `rows` (ascending): pages of a source lie together, in the order of its tables."""
        pieces = []
        for source, mine in zip(self._sources, np.split(rows, np.searchsorted(rows, self._ends)[:-1]), strict=True):
            if len(mine):
                offsets = self._pages["warc_offset"].take(pa.array(mine)).combine_chunks()
                table = self._read("extracted", source, ["warc_offset", "corrected"])
                place = pc.index_in(offsets, table["warc_offset"].combine_chunks())
                pieces += table["corrected"].cast(pa.large_string()).take(place).chunks
        return pa.chunked_array(pieces, pa.large_string()).combine_chunks()

    def _kill(
        self,
        rows: Rows,
        kept: Rows,
        name: tuple[str, str],
        value: pa.ChunkedArray | None = None,
        threshold: float | None = None,
    ) -> None:
        self._alive[rows] = False
        representatives = self._pages["id"].take(pa.array(kept))
        self.removed.append(_removal(self._pages.take(pa.array(rows)), name, representatives, value, threshold))

    def _text_bytes(self) -> dict[str, int]:
        """Bytes of the texts that stay, by language."""
        alive = self._pages.select(["language", "text_bytes"]).filter(pa.array(self._alive))
        sums = alive.group_by("language").aggregate([("text_bytes", "sum")]).to_pylist()
        return {row["language"]: row["text_bytes_sum"] for row in sums}

    def _all_captures(self) -> Iterator[pa.Table]:
        for source in self._sources:
            for folder in ("extracted", "dropped"):
                yield self._read(folder, source, ["id", "warc_path", "warc_offset"])

    def _read(self, folder: str, source: Source, columns: list[str]) -> pa.Table:
        path = self._store.path(table_name(folder, source.unit))
        return pq.read_table(path, columns=columns, partitioning=None)


def _salts(languages: pa.Array) -> NDArray[np.uint64]:
    """A number per row that is the same for pages of one language and no other."""
    encoded = languages.dictionary_encode()
    salts = [hashlib.blake2b(name.encode(), digest_size=8).digest() for name in encoded.dictionary.to_pylist()]
    rows: NDArray[np.uint64] = np.frombuffer(b"".join(salts), np.uint64)[encoded.indices.to_numpy()]
    return rows


def _first_of_each(codes: NDArray[Any], rank: Rows) -> Rows:
    """For each row, the row of lowest rank that has its code."""
    order = np.lexsort((rank, codes))
    first = np.empty(len(codes), np.int64)
    if len(codes):
        starts = np.concatenate([[True], codes[order][1:] != codes[order][:-1]])
        first[order] = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]]
    return first


def _removal(
    rows: pa.Table,
    name: tuple[str, str],
    kept_ids: pa.ChunkedArray,
    value: pa.ChunkedArray | None = None,
    threshold: float | None = None,
) -> pa.Table:
    n = rows.num_rows
    stage, rule = name
    columns = [
        rows["warc_path"],
        rows["warc_offset"],
        pa.array([stage] * n, pa.string()),
        pa.array([rule] * n, pa.string()),
        pa.nulls(n, pa.float64()) if value is None else value,
        pa.array([threshold] * n, pa.float64()),
        kept_ids,
    ]
    return pa.Table.from_arrays(columns, schema=REMOVED_SCHEMA)
