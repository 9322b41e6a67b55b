import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.block_list import BlockList, compile_block_list

DOMAINS = ["bad.example", "# a comment", "", "www.Worse.example\n", "sub.mixed.example", "böse.example"]
URLS = ["mixed.example/page", "host.example/a/b?q=1", "http://front.example/"]


def listed(*lists):
    return compile_block_list("\n".join(entries).encode() for entries in lists)


def parent_domains(host):
    """The host and its parents down to two labels, the plain way."""
    labels = host.split(".")
    return [".".join(labels[i:]) for i in range(max(1, len(labels) - 1))]


@pytest.fixture(scope="module")
def block_list() -> BlockList:
    return BlockList(listed(DOMAINS, URLS))


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("http://bad.example/", "bad.example"),
        ("https://www.a.b.bad.example:81/x", "bad.example"),
        ("http://worse.example", "worse.example"),
        ("http://xn--bse-sna.example/", "xn--bse-sna.example"),
        ("http://sub.mixed.example/page", "sub.mixed.example"),
        ("http://www.mixed.example/page/", "mixed.example/page"),
        ("http://mixed.example/%70age#top", "mixed.example/page"),
        ("https://host.example/a/b?q=1&utm_source=x", "host.example/a/b?q=1"),
        ("http://front.example", "front.example"),
    ],
)
def test_listed(block_list, url, entry):
    assert block_list.match(url) == entry


OTHER_HOSTS = ["http://notbad.example/", "http://example/", "http://bad.example.org/", "dns:bad.example", ""]
OTHER_PAGES = ["http://mixed.example/", "http://front.example/b", "http://host.example/a/b"]


@pytest.mark.parametrize("url", [*OTHER_HOSTS, *OTHER_PAGES])
def test_not_listed(block_list, url):
    assert block_list.match(url) is None


def test_table_is_sorted_unique_and_mappable(tmp_path):
    table = listed(DOMAINS, DOMAINS, URLS)
    assert table.dtype == np.uint64
    assert len(table) == 7
    assert (np.diff(table.astype(object)) > 0).all()
    np.save(tmp_path / "table.npy", table)
    mapped = BlockList(np.load(tmp_path / "table.npy", mmap_mode="r"))
    assert mapped.match("http://x.bad.example/") == "bad.example"


def test_empty_list_blocks_nothing():
    assert BlockList(compile_block_list([])).match("http://bad.example/") is None


LABELS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=2, max_size=4).map(".".join)


@given(st.sets(LABELS, max_size=8), LABELS)
def test_same_as_walking_the_parents(entries, host):
    expected = next((parent for parent in parent_domains(host) if parent in entries), None)
    assert BlockList(listed(entries)).match(f"http://{host}/page") == expected
