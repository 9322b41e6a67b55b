import numpy as np
import pyarrow as pa
import pytest

from stages import schema
from stages.repeats import candidates, documents_of, first_occurrences, hash_partition, in_order, settle, ties
from stages.window_sketch import count, empty_sketch
from stages.windows import window_hashes, words_of

TEXTS = ["a b c d", "x a b c", "a b, c a b c"]
RANKS = np.array([20, 10, 30])


def windows(*rows: tuple[int, int, int]) -> pa.Table:
    columns = zip(schema.WINDOW, zip(*rows, strict=True), strict=True)
    return pa.Table.from_arrays([pa.array(column, field.type) for field, column in columns], schema=schema.WINDOW)


def rows_of(table: pa.Table) -> list[tuple[int, ...]]:
    schema.check(table, schema.REPEAT)
    return sorted(tuple(row.values()) for row in table.to_pylist())


def documents():
    return documents_of(pa.array(["p", "q", "r"]), pa.array(TEXTS), RANKS)


def test_candidates_are_the_windows_that_may_occur_twice():
    hashes = window_hashes(words_of(pa.array(TEXTS)), 3)
    sketch = empty_sketch(10**6)
    count(sketch, hashes.hashes)
    found = candidates(hashes, RANKS, sketch)
    schema.check(found, schema.WINDOW)
    assert list(zip(found["rank"].to_pylist(), found["position"].to_pylist(), strict=True)) == [
        (20, 0),
        (10, 1),
        (30, 3),
    ]
    assert len(set(found["hash"].to_pylist())) == 1


def test_the_first_is_the_earliest_by_rank_then_position():
    found = windows((7, 3, 0), (7, 2, 9), (8, 1, 1), (7, 2, 5), (9, 4, 4), (9, 4, 2))
    assert rows_of(first_occurrences(found)) == [(7, 2, 9, 2, 5), (7, 3, 0, 2, 5), (9, 4, 4, 4, 2)]
    assert first_occurrences(schema.WINDOW.empty_table()).num_rows == 0


@pytest.mark.parametrize("n_partitions", [1, 2, 3, 1000])
def test_partitions_are_ranges_of_hashes(n_partitions):
    hashes = [0, 1, 2**62, 2**63, 2**64 - 1, 2**64 - 1]
    parts = hash_partition(windows(*[(value, i, 0) for i, value in enumerate(hashes)]), n_partitions)
    assert len(parts) == n_partitions
    assert [value for part in parts for value in part["hash"].to_pylist()] == hashes
    assert parts[-1]["hash"].to_pylist()[-2:] == [2**64 - 1] * 2
    assert parts[0]["hash"].to_pylist()[:2] == [0, 1]


def test_a_window_that_only_shares_a_hash_is_found_out_and_decided_by_its_words():
    one_hash = windows((5, 20, 0), (5, 20, 1), (5, 10, 1), (5, 30, 0), (5, 30, 3))
    assumed = in_order(first_occurrences(one_hash))
    assert assumed["position"].to_pylist() == [0, 1, 0, 3]
    assert ties(assumed, documents(), 3).tolist() == [5]
    assert rows_of(settle(one_hash, documents(), 3)) == [(5, 20, 0, 10, 1), (5, 30, 3, 10, 1)]


def test_equal_windows_are_no_tie():
    equal = windows((5, 20, 0), (5, 10, 1), (5, 30, 3))
    assert ties(first_occurrences(equal), documents(), 3).tolist() == []


def test_a_missing_text_is_named():
    with pytest.raises(ValueError, match="no text given for the document of rank 15"):
        ties(first_occurrences(windows((5, 20, 0), (5, 15, 0))), documents(), 3)
