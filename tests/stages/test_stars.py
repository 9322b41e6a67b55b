from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.clusters import components
from stages.stars import Links, Star, both_ways, downward, large_star, partition_of, small_star

NODES = st.integers(-(2**63), 2**63 - 1)


@st.composite
def graphs(draw: st.DrawFn) -> Links:
    """Edges over few nodes with arbitrary numbers: repeats and loops among them."""
    names = draw(st.lists(NODES, min_size=1, max_size=12, unique=True))
    ends = st.sampled_from(names)
    return links_of(draw(st.lists(st.tuples(ends, ends), max_size=20)))


def links_of(pairs: list[tuple[int, int]]) -> Links:
    return Links(*np.array(pairs, np.int64).reshape(-1, 2).T)


def pairs_of(links: Links) -> list[tuple[int, int]]:
    return list(zip(links.node.tolist(), links.neighbour.tolist(), strict=True))


def in_partitions(step: Callable[[Links], Star], links: Links, n_partitions: int) -> tuple[Links, bool]:
    """Apply a step to each partition's rows, as tasks would."""
    partition = partition_of(links.node, n_partitions)
    parts = [step(Links(*(end[partition == i] for end in links))) for i in range(n_partitions)]
    ends = [np.concatenate(column) for column in zip(*(part.links for part in parts), strict=True)]
    return Links(*ends), any(part.changed for part in parts)


def stars(links: Links, n_partitions: int) -> tuple[Links, int]:
    """The fixed point, and the number of rounds; no step makes more links than there were."""
    n_rounds, changed = 0, True
    while changed:
        n_links = links.node.size
        links, by_large = in_partitions(large_star, both_ways(links), n_partitions)
        assert links.node.size <= n_links
        n_links = links.node.size
        links, by_small = in_partitions(small_star, downward(links), n_partitions)
        assert links.node.size <= n_links
        n_rounds, changed = n_rounds + 1, by_large or by_small
    return links, n_rounds


def representatives(links: Links) -> dict[int, int]:
    """Of each node of the graph by union-find, nodes that are their own left out."""
    names, rows = np.unique(np.concatenate(links), return_inverse=True)
    a, b = rows.reshape(2, -1)
    found = zip(names.tolist(), names[components(names.size, a, b)].tolist(), strict=True)
    return {node: least for node, least in found if node != least}


@given(graphs(), st.integers(1, 6))
def test_the_fixed_point_is_the_components_for_any_partitions(links: Links, n_partitions: int) -> None:
    found, _ = stars(links, n_partitions)
    assert sorted(pairs_of(found)) == sorted(representatives(links).items())


@given(graphs(), st.integers(1, 6), st.integers(1, 6))
def test_every_step_is_that_of_one_partition(links: Links, n: int, m: int) -> None:
    for step, rows in ((large_star, both_ways(links)), (small_star, downward(links))):
        one, other = (in_partitions(step, rows, count) for count in (n, m))
        assert set(pairs_of(one[0])) == set(pairs_of(other[0]))
        assert one[1] == other[1]


def test_large_star_links_the_larger_neighbours_to_the_least() -> None:
    star = large_star(links_of([(5, 3), (5, 9), (5, 7), (5, 7), (2, 8), (4, 4)]))
    assert pairs_of(star.links) == [(7, 3), (8, 2), (9, 3)]
    assert star.changed
    assert not large_star(links_of([(2, 8), (2, 9), (9, 2)])).changed


def test_small_star_links_all_to_the_least() -> None:
    star = small_star(links_of([(9, 3), (9, 5), (9, 3), (8, 2)]))
    assert pairs_of(star.links) == [(5, 3), (8, 2), (9, 3)]
    assert star.changed
    assert not small_star(links_of([(9, 3), (9, 3), (8, 3)])).changed


@pytest.mark.parametrize(("seed", "at_most"), [(None, 18), (0, 15), (1, 15), (2, 15)])
def test_a_chain_takes_few_rounds(seed: int | None, at_most: int) -> None:
    """In its own order, the worst, large-star halves it in each round."""
    n = 100_000
    nodes = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
    links, n_rounds = stars(Links(nodes[:-1], nodes[1:]), 4)
    assert (links.node.size, set(links.neighbour.tolist())) == (n - 1, {0})
    assert n_rounds <= at_most


def test_families_of_near_duplicates_take_few_rounds() -> None:
    """Power-law families, each document linked to three others of its own."""
    rng = np.random.default_rng(0)
    family = np.sort((rng.pareto(1.0, 30_000) * 1000).astype(np.int64) % 20_000)
    starts, sizes = np.unique(family, return_index=True, return_counts=True)[1:]
    row = np.arange(family.size)
    of = np.searchsorted(starts, row, side="right") - 1
    others = np.concatenate([starts[of] + (rng.random(family.size) * sizes[of]).astype(np.int64) for _ in range(3)])
    names = rng.permutation(family.size)
    links = Links(names[np.tile(row, 3)], names[others])
    found, n_rounds = stars(links, 3)
    assert dict(pairs_of(found)) == representatives(links)
    assert n_rounds <= 6


def test_nodes_are_spread_evenly() -> None:
    counts = np.bincount(partition_of(np.arange(-50_000, 50_000), 10), minlength=10)
    assert counts.min() > 9_500
    assert partition_of(np.array([1, 1, 2]), 7)[0] == partition_of(np.array([1]), 7)[0]


def test_no_edges() -> None:
    assert stars(links_of([]), 3)[0].node.size == 0
    assert stars(links_of([(1, 1)]), 3)[0].node.size == 0
