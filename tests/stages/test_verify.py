from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.clusters import components
from stages.minhash import NO_KEY, PRESETS, ShingleSets, band_keys, shingle_sets
from stages.verify import Buckets, Edges, VerifyRules, candidate_groups, verify

Sets = list[set[int]]

SHINGLES = st.sets(st.integers(0, 7), max_size=6)
KEYS = st.integers(0, 3)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[Sets, np.ndarray, np.ndarray]:
    """(shingle sets, band keys uint64[n, bands] with many ties, order rank)."""
    sets = draw(st.lists(SHINGLES, min_size=1, max_size=9))
    bands = draw(st.integers(1, 3))
    keys = draw(st.lists(st.lists(KEYS, min_size=bands, max_size=bands), min_size=len(sets), max_size=len(sets)))
    rank = draw(st.permutations(range(len(sets))))
    return sets, np.array(keys, np.uint64), np.array(rank, np.int64)


def stored(sets: Sets) -> ShingleSets:
    values = [value for values in sets for value in sorted(values)]
    return ShingleSets(np.array(values, np.uint64), np.cumsum([0, *map(len, sets)]).astype(np.int64))


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def run(sets: Sets, keys: np.ndarray, rank: np.ndarray, rules: VerifyRules) -> Edges:
    return verify([candidate_groups(keys[:, band]) for band in range(keys.shape[1])], rank, stored(sets), rules)


def all_edges(sets: Sets, keys: np.ndarray, rank: np.ndarray, threshold: float) -> dict[tuple[int, int], float]:
    """Every candidate pair at or above the threshold, (earlier, later), by brute force."""
    pairs = {}
    for a, b in combinations(np.argsort(rank).tolist(), 2):
        shared = ((keys[a] == keys[b]) & (keys[a] != NO_KEY)).any()
        if shared and similarity(sets[a], sets[b]) >= threshold:
            pairs[a, b] = similarity(sets[a], sets[b])
    return pairs


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=12))
def test_buckets_are_the_rows_that_share_a_key(keys: list[int]) -> None:
    buckets = candidate_groups(np.array(keys, np.uint64))
    found = [buckets.members[a:b].tolist() for a, b in zip(buckets.offsets, buckets.offsets[1:], strict=False)]
    by_key = [[row for row, key in enumerate(keys) if key == wanted] for wanted in range(1, 5)]
    assert found == [rows for rows in by_key if len(rows) >= 2]


@settings(deadline=None, max_examples=300)
@given(corpora(), st.sampled_from([0.2, 0.5, 0.75, 1.0]))
def test_edges_decide_as_all_pairs_do(corpus: tuple[Sets, np.ndarray, np.ndarray], threshold: float) -> None:
    sets, keys, rank = corpus
    edges = run(sets, keys, rank, VerifyRules(threshold=threshold, cap=10))
    expected = all_edges(*corpus, threshold)
    found = dict(zip(zip(edges.earlier.tolist(), edges.later.tolist(), strict=True), edges.similarity, strict=True))
    assert len(found) == len(edges.similarity)  # each pair once
    assert found == {pair: expected[pair] for pair in found}  # true edges, with their similarity
    assert edges.n_cut == 0
    assert {later for _, later in found} == {later for _, later in expected}  # the earlier-neighbour rule
    a, b = np.array(list(expected), np.int64).reshape(-1, 2).T
    assert components(len(sets), edges.earlier, edges.later).tolist() == components(len(sets), a, b).tolist()


@settings(deadline=None)
@given(corpora(), st.integers(0, 2), st.randoms(use_true_random=False))
def test_row_order_and_partitions_do_not_matter(
    corpus: tuple[Sets, np.ndarray, np.ndarray], cap: int, random: np.random.Generator
) -> None:
    sets, keys, rank = corpus
    rules = VerifyRules(threshold=0.5, cap=cap)
    edges = run(sets, keys, rank, rules)
    shuffled = list(range(len(sets)))
    random.shuffle(shuffled)
    other = run([sets[row] for row in shuffled], keys[shuffled], rank[shuffled], rules)
    place = np.array(shuffled, np.int64)
    assert place[other.earlier].tolist() == edges.earlier.tolist()
    assert place[other.later].tolist() == edges.later.tolist()
    assert (other.similarity.tolist(), other.n_cut) == (edges.similarity.tolist(), edges.n_cut)

    one_by_one = [verify([candidate_groups(column)], rank, stored(sets), rules) for column in keys.T]
    pairs = {pair for part in one_by_one for pair in zip(part.earlier, part.later, strict=True)}
    assert pairs == set(zip(edges.earlier, edges.later, strict=True))
    assert sum(part.n_cut for part in one_by_one) == edges.n_cut


def test_an_edge_to_the_earliest_does_not_hide_another_group() -> None:
    """Row 2 is like rows 0 and 1, which are unlike each other; row 3 is like row 2 alone: the four are one cluster."""
    sets = [{0, 1, 2, 3}, {2, 3, 4, 5}, {1, 2, 3, 4}, {1, 2, 3, 4, 6, 7}]
    edges = run(sets, np.ones((4, 1), np.uint64), np.arange(4), VerifyRules(threshold=0.6))
    assert list(zip(edges.earlier.tolist(), edges.later.tolist(), strict=True)) == [(0, 2), (1, 2), (2, 3)]
    assert edges.similarity.tolist() == [0.6, 0.6, 4 / 6]
    assert edges.n_cut == 0


@pytest.mark.parametrize(("cap", "n_cut"), [(0, 1 + 2 + 3), (1, 1 + 2), (2, 1), (3, 0)])
def test_pairs_beyond_the_cap_are_counted(cap: int, n_cut: int) -> None:
    """Five unlike documents in a bucket: document j has j pairs, of which cap + 1 are compared."""
    sets: Sets = [{row} for row in range(5)]
    edges = run(sets, np.ones((5, 1), np.uint64), np.arange(5), VerifyRules(cap=cap))
    assert (edges.earlier.size, edges.n_cut) == (0, n_cut)


def test_a_giant_bucket_of_copies_takes_one_comparison_a_document() -> None:
    n = 100_000
    sets = ShingleSets(np.tile(np.arange(5, dtype=np.uint64), n), np.arange(0, 5 * n + 1, 5))
    buckets = Buckets(np.arange(n), np.array([0, n]))
    edges = verify([buckets, buckets], np.arange(n)[::-1].copy(), sets, VerifyRules(cap=1))
    assert edges.later.size == n - 1
    assert set(edges.earlier.tolist()) == {n - 1}
    assert edges.n_cut == 0


def test_no_buckets_no_edges() -> None:
    edges = run([{1}, {2}], np.zeros((2, 2), np.uint64), np.arange(2), VerifyRules())
    assert (edges.earlier.size, edges.n_cut) == (0, 0)
    assert verify([], np.arange(2), stored([{1}, {1}]), VerifyRules()).later.size == 0
    assert candidate_groups(np.empty(0, np.uint64)).offsets.tolist() == [0]


def test_copies_with_edits_are_linked_from_text() -> None:
    words = [f"word{i}" for i in range(200)]
    edited = [*words[:100], "another", *words[101:]]
    foreign = [f"other{i}" for i in range(200)]
    text = pa.array([" ".join(document) for document in (foreign, edited, words)])
    geometry = PRESETS["refinedweb"]
    keys, sets = band_keys(text, geometry), shingle_sets(text, geometry)
    buckets = [candidate_groups(keys[:, band]) for band in range(geometry.bands)]
    edges = verify(buckets, np.array([0, 2, 1]), sets, VerifyRules())
    assert (edges.earlier.tolist(), edges.later.tolist()) == ([2], [1])
    assert edges.similarity.tolist() == [191 / 201]
