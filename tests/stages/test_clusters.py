import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.clusters import components, representatives

Graph = tuple[int, list[tuple[int, int]]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """(number of rows, pairs of rows)."""
    n = draw(st.integers(1, 10))
    row = st.integers(0, n - 1)
    pairs = draw(st.lists(st.tuples(row, row).filter(lambda pair: pair[0] != pair[1]), max_size=12))
    return n, pairs


def reachable(n: int, pairs: list[tuple[int, int]]) -> list[set[int]]:
    """For each row the rows of its component, by walking."""
    reach = [{row} for row in range(n)]
    for _ in range(n):
        for a, b in pairs:
            reach[a] |= reach[b]
            reach[b] |= reach[a]
    return reach


@settings(deadline=None)
@given(graphs())
def test_components_are_the_rows_that_can_be_reached(graph: Graph) -> None:
    n, pairs = graph
    earlier, later = np.array(pairs, np.int64).reshape(-1, 2).T
    assert components(n, earlier, later).tolist() == [min(rows) for rows in reachable(n, pairs)]


def test_a_long_chain_is_one_component() -> None:
    n = 100_000
    rows = np.random.default_rng(0).permutation(n)
    assert (components(n, rows[:-1], rows[1:]) == 0).all()


@settings(deadline=None)
@given(graphs())
def test_a_document_goes_with_the_first_of_its_component_or_down_its_chain_of_neighbours(graph: Graph) -> None:
    n, pairs = graph
    docs = np.array([7 * row - 20 for row in range(n)], np.int64)  # numbers with gaps, some negative
    earlier, later = docs[np.array([sorted(pair) for pair in pairs], np.int64).reshape(-1, 2)].T
    joined = representatives(docs, earlier, later, "components")
    assert joined.tolist() == [docs[min(rows)] for rows in reachable(n, pairs)]
    chained = representatives(docs, earlier, later, "earlier-neighbour").tolist()
    for row in range(n):
        before = [min(pair) for pair in pairs if max(pair) == row]
        assert chained[row] == (chained[min(before)] if before else docs[row])
