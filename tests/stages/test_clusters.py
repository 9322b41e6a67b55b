import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.clusters import cluster_table, components
from stages.schema import CLUSTER, check
from stages.verify import Edges


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[int]]:
    """(number of rows, pairs of rows, order rank)."""
    n = draw(st.integers(1, 10))
    row = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(row, row).filter(lambda pair: pair[0] != pair[1]), max_size=12))
    return n, pairs, draw(st.permutations(range(n)))


def reachable(n: int, pairs: list[tuple[int, int]]) -> list[set[int]]:
    """For each row the rows of its component, by walking."""
    reach = [{row} for row in range(n)]
    for _ in range(n):
        for a, b in pairs:
            reach[a] |= reach[b]
            reach[b] |= reach[a]
    return reach


def edges_of(pairs: list[tuple[int, int]], rank: list[int]) -> Edges:
    ordered = sorted({tuple(sorted(pair, key=lambda row: rank[row])) for pair in pairs})
    earlier, later = np.array(ordered, np.int64).reshape(-1, 2).T
    return Edges(earlier=earlier, later=later, similarity=0.75 + 0.01 * np.arange(len(ordered)), n_cut=0)


@settings(deadline=None)
@given(graphs())
def test_components_are_the_rows_that_can_be_reached(graph: tuple[int, list[tuple[int, int]], list[int]]) -> None:
    n, pairs, _ = graph
    earlier, later = np.array(pairs, np.int64).reshape(-1, 2).T
    assert components(n, earlier, later).tolist() == [min(rows) for rows in reachable(n, pairs)]


def test_a_long_chain_is_one_component() -> None:
    n = 100_000
    rows = np.random.default_rng(0).permutation(n)
    assert (components(n, rows[:-1], rows[1:]) == 0).all()


@settings(deadline=None)
@given(graphs())
def test_the_table_tells_every_cluster(graph: tuple[int, list[tuple[int, int]], list[int]]) -> None:
    n, pairs, rank = graph
    edges = edges_of(pairs, rank)
    table = cluster_table(pa.array([f"id{row}" for row in range(n)]), np.array(rank), edges)
    check(table, CLUSTER)
    reach = reachable(n, pairs)
    expected = []
    for row in range(n):
        if len(reach[row]) == 1:
            continue
        first = min(reach[row], key=lambda other: rank[other])
        best = max(s for a, b, s in zip(edges.earlier, edges.later, edges.similarity, strict=True) if row in (a, b))
        line = {
            "id": f"id{row}",
            "cluster_id": f"id{first}",
            "representative_id": f"id{first}",
            "similarity": best,
            "cluster_size": len(reach[row]),
        }
        expected.append((rank[first], rank[row], line))
    assert table.to_pylist() == [line for _, _, line in sorted(expected, key=lambda item: item[:2])]
