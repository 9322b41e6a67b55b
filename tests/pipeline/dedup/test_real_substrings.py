"""Exact substrings of the real pages: the rule written plainly, and an order of all windows, say the same."""

import json
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.substrings import cut
from tests.pipeline.real_run import NEAR, published, searched
from tests.stages.test_substrings import expected, words_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

K = 50


@pytest.fixture(scope="module")
def kept(real_pages):
    """Pages that the search for passages saw, in order."""
    return [page for page in searched(real_pages) if page.stage != NEAR]


@pytest.fixture(scope="module")
def spans(real_run):
    return pq.read_table(real_run[0] / "dedup/spans.parquet")


def test_spans_are_those_of_the_rule(kept, spans):
    rows = expected([page.id for page in kept], [page.text for page in kept], K)
    assert [tuple(row.values()) for row in spans.to_pylist()] == rows
    assert len(rows) > 100


def test_published_texts_are_the_others_cut(real_run, kept, spans):
    ids = pa.array([page.id for page in kept])
    left = cut(ids, pa.array([page.text for page in kept]), spans).text.to_pylist()
    emptied = {page.id for page in kept if page.stage == "substrings"}
    assert published(real_run[0]) == {
        page.id: text for page, text in zip(kept, left, strict=True) if page.id not in emptied
    }


def test_words_covered_are_those_of_a_suffix_array(kept, spans):
    """Windows put into order by prefixes of doubled length, as in building a suffix array: no hash is involved."""
    cut_from = {}
    for row in spans.to_pylist():
        cut_from.setdefault(row["id"], []).append((row["start"], row["end"]))
    words = [words_of(page.text) for page in kept]
    found = [
        any(start <= first and last <= end for start, end in cut_from.get(page.id, ()))
        for page, of_page in zip(kept, words, strict=True)
        for _, first, last in of_page
    ]
    covered = covered_by_order([[word for word, _, _ in of_page] for of_page in words], K)
    print(f"{len(kept)} pages, {covered.size} words, {covered.sum()} covered by {spans.num_rows} spans")
    assert np.array_equal(np.array(found), covered)
    assert covered.sum() > 5_000


def covered_by_order(texts, k):
    """Whether each word lies in a window of k that stands earlier too; a word is (marks before it, word)."""
    numbers: dict[object, int] = {}
    joined = np.array([numbers.setdefault(word, len(numbers)) for text in texts for word in text])
    alone = np.array([numbers.setdefault(word[1], len(numbers)) for text in texts for word in text])
    ends = np.repeat(np.cumsum([len(text) for text in texts]), [len(text) for text in texts])
    windows = np.flatnonzero(np.arange(joined.size) + k <= ends)
    rank, length = joined, 1
    while 2 * length <= k - 1:
        rank, length = ranked(rank, length), 2 * length
    # Rank of the k - 1 words behind the first, marks included, by two runs that overlap; then the first word alone.
    inner = np.unique(np.stack([rank[windows + 1], rank[windows + k - length]]), axis=1, return_inverse=True)[1]
    _, first, window = np.unique(
        np.stack([alone[windows], inner.ravel()]), axis=1, return_index=True, return_inverse=True
    )
    later = windows[first[window.ravel()] != np.arange(windows.size)]
    steps = np.bincount(later, minlength=joined.size + 1) - np.bincount(later + k, minlength=joined.size + 1)
    return np.cumsum(steps)[: joined.size] > 0


def ranked(rank, length):
    """Ranks of runs of twice the length, in their order."""
    following = np.append(rank[length:], np.full(length, -1))
    return np.unique(np.stack([rank, following]), axis=1, return_inverse=True)[1].ravel()


def test_every_shared_passage_stands_once_among_the_pages_that_held_it(real_run, kept, shared_data):
    """Every run of fifty words and marks of it that some page held before cutting stands once in what is published."""
    lines = (shared_data / "gold" / "passages.jsonl").read_text().splitlines()
    passages = [runs_of(json.loads(line)["text"]) for line in lines]
    wanted = {run for passage in passages for run in passage}
    before = Counter(run for page in kept for run in wanted & set(runs_of(page.text)))
    after = Counter(run for text in published(real_run[0]).values() for run in runs_of(text) if run in wanted)
    shared = [passage for passage in passages if max(before[run] for run in passage) > 1]
    print(f"{len(passages)} passages, {len(shared)} of them on several pages")
    assert len(shared) >= 20
    assert after == dict.fromkeys(before, 1)


def runs_of(text):
    """All runs of words and marks, white space apart, by which passages are compared."""
    words = re.findall(r"\w+|[^\w\s]", text)
    return [tuple(words[p : p + K]) for p in range(len(words) - K + 1)]
