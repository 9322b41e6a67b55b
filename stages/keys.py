"""Keys by which copies are found: what deduplication needs to know of a page, without its text.

`url_key` and `text_key` are BLAKE2b-128, so that equal keys mean equal URLs and equal texts; band keys are 64-bit and
their matches are verified.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.minhash import Geometry, band_keys
from stages.urls import canonical

DIGEST_BYTES = 16
_COPIED = ("id", "crawl", "fetch_time", "warc_path", "warc_offset", "language")


def url_key(url: str) -> bytes | None:
    """Digest of the canonical form of a URL; null where nothing is left of it (a mere `#top`), as it is no address."""
    address = canonical(url)
    return _digest(address) if address else None


def text_key(text: str) -> bytes:
    """Digest of a text."""
    return _digest(text)


def band_column(band: int) -> str:
    """Name of the column that holds the keys of one band."""
    return f"band_{band:03d}"


def schema(geometry: Geometry) -> pa.Schema:
    """Columns of the table of keys: one per band, so that a reader can take one band of many files."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("crawl", pa.string(), nullable=False),
            pa.field("fetch_time", pa.timestamp("us", "UTC")),
            pa.field("warc_path", pa.string(), nullable=False),
            pa.field("warc_offset", pa.int64(), nullable=False),
            pa.field("language", pa.string(), nullable=False),
            pa.field("text_bytes", pa.int64(), nullable=False, metadata={"unit": "byte"}),
            pa.field("url_key", pa.binary(DIGEST_BYTES), metadata={"doc": "null where the page has no URL"}),
            pa.field("text_key", pa.binary(DIGEST_BYTES), nullable=False),
            *[pa.field(band_column(band), pa.uint64(), nullable=False) for band in range(geometry.bands)],
        ]
    )


def keys_of(pages: pa.RecordBatch, geometry: Geometry) -> pa.RecordBatch:
    """The table of keys for pages that the recipe keeps: a batch of `schema.EXTRACTED` rows with a corrected text."""
    text = pages.column("corrected")
    bands = band_keys(text, geometry)
    columns: list[pa.Array] = [pages.column(name) for name in _COPIED]
    columns += [
        pc.binary_length(text).cast(pa.int64()),
        pa.array(map(url_key, pages.column("url").to_pylist()), pa.binary(DIGEST_BYTES)),
        pa.array(map(text_key, text.to_pylist()), pa.binary(DIGEST_BYTES)),
    ]
    columns += [pa.array(np.ascontiguousarray(bands[:, band])) for band in range(geometry.bands)]
    return pa.RecordBatch.from_arrays(columns, schema=schema(geometry))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
