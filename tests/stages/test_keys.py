import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.keys import band_column, keys_of, schema, text_key, url_key
from stages.minhash import NO_KEY, Geometry, band_keys
from stages.schema import EXTRACTED, check

GEOMETRY = Geometry(bands=4, rows=2)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def batch(rows):
    common = {"id": "a" * 32, "url": "", "warc_path": "w", "warc_offset": 0, "warc_length": 1, "crawl": "c"}
    return pa.RecordBatch.from_pylist([common | {"language": "en"} | row for row in rows], EXTRACTED)


@given(st.lists(TEXTS, max_size=5))
def test_keys_belong_to_the_corrected_text(texts):
    table = keys_of(batch([{"text": "raw", "corrected": text} for text in texts]), GEOMETRY)
    check(table, schema(GEOMETRY))
    assert table.column("text_bytes").to_pylist() == [len(text.encode()) for text in texts]
    digests = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    assert table.column("text_key").to_pylist() == digests
    bands = np.array([table.column(band_column(band)).to_numpy() for band in range(GEOMETRY.bands)]).T
    assert np.array_equal(bands, band_keys(pa.array(texts, pa.string()), GEOMETRY))


def test_keys_of_a_slice_are_those_of_its_rows():
    rows = [{"corrected": f"text number {i} of some"} for i in range(5)]
    assert keys_of(batch(rows).slice(2, 2), GEOMETRY).equals(keys_of(batch(rows[2:4]), GEOMETRY))


def test_a_text_without_words_has_no_band_key():
    table = keys_of(batch([{"corrected": ""}, {"corrected": "…"}, {"corrected": "word"}]), GEOMETRY)
    assert [key == NO_KEY for key in table.column("band_000").to_pylist()] == [True, True, False]


def test_spellings_of_one_address_share_a_key_and_texts_differ_by_a_byte():
    assert url_key("HTTP://Example.org:80/a#part") == url_key("http://example.org/a") != url_key("http://example.org/A")
    assert text_key("a") != text_key("a ")


@pytest.mark.parametrize("url", ["", " ", "#top", "<>", "\0"])
def test_what_is_no_address_has_no_key(url):
    assert url_key(url) is None
    assert keys_of(batch([{"url": url, "corrected": "x"}]), GEOMETRY).column("url_key").null_count == 1
