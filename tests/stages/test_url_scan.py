import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stages.block_list import _entry_key, compile_block_list
from stages.canonical_url import TRACKING, canonical
from stages.url_scan import canonical_column, keys_of_lines

PIECES = [*"abA1/.?&=:#%@[]-_~ é\\", "www.", "//", "../", "?utm_", "&gclid=", "&", "%41", "%2f", ":80", ":8080", ".de"]
ADDRESSES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
SCHEMES = st.sampled_from(
    ["http://", "https://", "HTTP://", "ftp://", "http:/", "dns:", "", " http://", "http://a.de/"]
)
TRACKED = st.sampled_from(sorted(TRACKING)).map(lambda name: f"http://a.de/b?c=d&{name}=1")


@given(st.lists(st.one_of(st.text(), TRACKED, st.builds("{}{}".format, SCHEMES, ADDRESSES))))
def test_the_column_is_what_each_address_becomes(urls):
    urls = [url.encode("utf-8", "replace").decode() for url in urls]
    assert canonical_column(pa.array(urls, pa.string())).to_pylist() == [canonical(url) for url in urls]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_a_slice_is_read_where_it_stands(kind):
    urls = ["http://a.de/", "HTTP://B.de", "http://c.de/x?utm_source=1", "http://d.de/"]
    assert canonical_column(pa.array(urls, kind)[1:3]).to_pylist() == ["http://b.de/", "http://c.de/x"]


def test_most_real_addresses_need_no_second_look(shared_data):
    import json

    lines = (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    urls = [json.loads(line)["url"] for line in lines]
    assert canonical_column(pa.array(urls, pa.string())).to_pylist() == [canonical(url) for url in urls]


ENTRIES = st.one_of(
    st.lists(st.sampled_from(["a", "b-c", "1", "_", "É", "www"]), min_size=1, max_size=4).map(".".join),
    st.builds("{}{}".format, st.sampled_from(["a.de", "www.b.de", "C.de", "http://d.de"]), ADDRESSES),
    st.text(alphabet=" #\t\r./aé%", max_size=6),
)


@given(st.lists(ENTRIES))
@example(["www.www.É", "www.", "www.www.a.de"])
def test_lines_read_as_bytes_have_the_keys_of_their_entries(entries):
    entries = [entry for entry in entries if "\n" not in entry]
    expected = {key for key in map(_entry_key, entries) if key is not None}
    assert set(compile_block_list(["\n".join(entries).encode()]).tolist()) == expected


def test_pieces_of_a_list_are_that_list():
    assert np.array_equal(
        compile_block_list([b"a.de\nb.de\n", b"", b"c.de"]), compile_block_list([b"c.de\nb.de\na.de"])
    )
    assert [len(found) for found in keys_of_lines(b"a.de\n\n#x\nB.de\nc.de/d\r\n")] == [2, 2]
