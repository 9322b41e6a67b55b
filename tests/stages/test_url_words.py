import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.canonical_url import canonical
from stages.url_words import UrlWords, WordScore, build_automaton, builtin_words, candidates

WORD = st.text(alphabet="abc", min_size=1, max_size=3)
PHRASE = st.lists(WORD, min_size=1, max_size=2).map(" ".join)
PHRASES = st.lists(PHRASE, max_size=4).map(tuple)
WORDS = st.builds(UrlWords, strict=PHRASES, strict_subwords=PHRASES, soft=PHRASES, allowed=PHRASES)
ADDRESS = st.text(alphabet="abcABC--/._%4é", max_size=16).map("http://a.de/{}".format)


@given(WORDS, st.lists(ADDRESS, max_size=4), st.integers(1, 3))
def test_the_automaton_leaves_out_nothing_that_scores(words, addresses, soft_hits):
    urls = [canonical(address) for address in addresses]
    score = WordScore(words)
    judged = ((row, score._score(url, soft_hits)) for row, url in enumerate(urls))
    assert score(pa.array(urls, pa.string()), soft_hits) == {row: verdict for row, verdict in judged if verdict}


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("a-wet-paint-b", True),
        ("wetpaint", True),  # whole from start to end, though in one word: the exact score tells
        ("awet-paint", False),
        ("wet-paints", False),
        ("xpaintx", False),
        ("x-su-b-x", True),
        ("wet", False),
        ("a%20b", True),
        ("paint-wet", False),
    ],
)
def test_candidates(address, found):
    automaton = build_automaton(["wetpaint"], ["sub"])
    assert candidates(pa.array([f"http://{address}"]), automaton).tolist() == [found]


def test_overlapping_patterns_are_all_seen():
    automaton = build_automaton(["abcd", "bc", "c"], [])
    urls = [f"http://{path}/" for path in ("x-a-bc-x", "ab-c-d", "abc", "a-b-c-d", "ab-cd")]
    assert candidates(pa.array(urls), automaton).tolist() == [True, True, False, True, True]


def test_of_real_addresses_few_are_candidates(shared_data):
    import json

    lines = (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    urls = pa.array([canonical(json.loads(line)["url"]) for line in lines], pa.string())
    assert candidates(urls, WordScore(builtin_words())._automaton).mean() < 0.05
