import hashlib
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.compiled import compiled
from stages.minhash import PRESETS, ShingleSets, jaccard, shingle_sets
from stages.odd_sketch import (
    MAX_SAMPLE,
    N_BITS,
    SIMILARITIES,
    SKETCH_BYTES,
    Sketches,
    acceptance,
    error_curve,
    estimate,
    from_column,
    similarities,
    sketches,
    to_column,
)

THRESHOLD = 0.75


def stored(*sets: np.ndarray) -> ShingleSets:
    values = [np.sort(np.asarray(values, np.uint64)) for values in sets]
    return ShingleSets(np.concatenate(values), np.cumsum([0, *map(len, sets)]).astype(np.int64))


def pair_of(rng: np.random.Generator, size_a: int, size_b: int, difference: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of random shingles that differ in `difference` of them."""
    shared = (size_a + size_b - difference) // 2
    values = rng.integers(0, 2**64, size_a + size_b - shared, dtype=np.uint64)
    return values[:size_a], np.concatenate([values[:shared], values[size_a:]])


def estimates(rng: np.random.Generator, n_pairs: int, size_a: int, size_b: int, difference: int) -> np.ndarray:
    """Estimated similarities of random pairs."""
    pairs = [pair_of(rng, size_a, size_b, difference) for _ in range(n_pairs)]
    made = sketches(stored(*(side for pair in pairs for side in pair)))
    rows = np.arange(0, 2 * n_pairs, 2)
    return similarities(made, rows, made, rows + 1)


def similarity(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


@given(st.lists(st.sets(st.integers(0, 40)), min_size=2, max_size=2))
def test_small_sets_have_their_own_similarity(pair: list[set[int]]) -> None:
    """41 shingles fall on different bits here, so nothing is lost."""
    made = sketches(stored(*(np.array(sorted(values), np.uint64) for values in pair)))
    rows = np.array([0, 1, 0, 1]), np.array([1, 0, 0, 1])
    a, b = pair
    expected = [similarity(a, b), similarity(a, b), float(bool(a)), float(bool(b))]
    assert similarities(made, rows[0], made, rows[1]).tolist() == expected


@pytest.mark.parametrize("size", [1, 2, 100, MAX_SAMPLE, MAX_SAMPLE + 1, 50_000, 200_000])
def test_equal_sets_are_1_in_any_order_and_unequal_ones_between_0_and_1(size: int) -> None:
    rng = np.random.default_rng(size)
    a, b = (rng.integers(0, 2**64, size, dtype=np.uint64) for _ in range(2))
    made = sketches(ShingleSets(np.concatenate([a, a[::-1], b]), np.arange(0, 3 * size + 1, size)))
    equal, unlike = similarities(made, np.array([0, 0]), made, np.array([1, 2]))
    assert equal == 1.0
    assert 0.0 <= unlike < 0.55  # unlike sets: more than half of the bits may differ


def test_an_empty_set_is_like_nothing() -> None:
    made = sketches(stored(np.array([]), np.array([]), np.array([5])))
    assert similarities(made, np.array([0, 0, 2]), made, np.array([1, 2, 0])).tolist() == [0.0, 0.0, 0.0]
    assert np.diff(made.offsets).tolist() == [SKETCH_BYTES] * 3
    assert np.bitwise_count(made.data).sum() == 1
    assert sketches(stored(np.array([])))[0].size == SKETCH_BYTES


@pytest.mark.parametrize(
    ("size", "n_sketches"),
    [(1, 1), (MAX_SAMPLE // 2, 1), (MAX_SAMPLE // 2 + 1, 2), (MAX_SAMPLE, 2), (MAX_SAMPLE + 1, 2), (10**5, 2)],
)
def test_documents_near_the_next_level_have_a_second_sketch(size: int, n_sketches: int) -> None:
    assert sketches(stored(np.arange(size))).data.size == n_sketches * SKETCH_BYTES


@pytest.mark.parametrize("size", [MAX_SAMPLE, MAX_SAMPLE + 1, 4 * MAX_SAMPLE, 4 * MAX_SAMPLE + 1])
def test_a_sketch_holds_the_sample_of_its_level_and_the_next(size: int) -> None:
    """The second sketch is the first of a set that is twice as large, less what only that set holds."""
    values = np.random.default_rng(size).integers(0, 2**64, size, dtype=np.uint64)
    made = sketches(stored(values))
    first, second = made.data.reshape(2, SKETCH_BYTES)
    level = math.ceil(math.log2(size / MAX_SAMPLE))
    for sketch, sample in ((first, size / 2**level), (second, size / 2 ** (level + 1))):
        n_odd = np.bitwise_count(sketch).sum()
        assert math.log(1 - 2 * n_odd / N_BITS) / math.log(1 - 2 / N_BITS) == pytest.approx(sample, rel=0.2)


@pytest.mark.parametrize("boundary", [MAX_SAMPLE, 2 * MAX_SAMPLE, 16 * MAX_SAMPLE])
def test_neighbouring_levels_are_compared_at_the_higher(boundary: int) -> None:
    rng = np.random.default_rng(boundary)
    size_a, size_b = boundary + 1, boundary * 9 // 10
    found = estimates(rng, 20, size_a, size_b, size_a - size_b)
    assert found == pytest.approx(np.full(20, size_b / size_a), abs=0.03)
    assert (found <= size_b / size_a).all()  # the sizes alone tell that it is not more
    assert estimates(rng, 2, boundary + 1, boundary // 2, boundary // 2 + 1).tolist() == [0.0, 0.0]
    assert estimates(rng, 2, 10 * boundary, boundary, 9 * boundary).tolist() == [0.0, 0.0]


def exact_acceptance(n_shingles: int, n_flips: int) -> np.ndarray:
    """For each difference 0 … n_flips of sets of n_shingles, the exact probability of passing, flip by flip."""
    probability = np.zeros(n_flips + 2)  # of k bits that differ
    probability[0] = 1.0
    k = np.arange(n_flips + 2)
    total = 2 * n_shingles
    difference = 2 * np.floor(np.log1p(-2 * k / N_BITS) / math.log1p(-2 / N_BITS) / 2 + 0.5)
    passes = (total - difference) / (total + difference) >= THRESHOLD
    out = []
    for _ in range(n_flips + 1):
        out.append(probability[passes].sum())
        up, down = probability * (N_BITS - k) / N_BITS, probability * k / N_BITS
        probability = np.append(0.0, up[:-1]) + np.append(down[1:], 0.0)
    return np.array(out)


def test_less_than_one_in_10000_is_lost_at_8_whatever_the_sizes() -> None:
    """By the curve for all sizes that a pair of J = .8 can have; the ratio of sizes is .8 at least."""
    sizes = np.arange(1, 200_001)
    for ratio in (0.8, 0.85, 0.9, 0.95, 1.0):
        lost = 1 - acceptance(sizes, np.ceil(ratio * sizes).astype(np.int64), 0.8, THRESHOLD)
        assert lost.max() < 1e-9


@pytest.mark.parametrize("n_shingles", [1, 2, 3, 5, 9, 18, 45, 90, 200, 450, 1000, 3000])
def test_less_than_one_in_10000_of_small_sets_is_lost_exactly(n_shingles: int) -> None:
    """Not by the curve: the bits that differ are followed flip by flip."""
    difference = 2 * int(n_shingles * 0.2 / 1.8 + 1e-9)
    exact = exact_acceptance(n_shingles, difference)
    assert 1 - exact[difference] < 1e-9
    assert (1 - exact[: difference + 1 : 2] < 1e-9).all()  # nor above .8


@pytest.mark.parametrize(
    ("n_pairs", "size_a", "size_b"),
    [(20_000, 9, 9), (20_000, 90, 72), (10_000, 900, 900), (1500, 8192, 8192), (1500, 8193, 6555), (700, 16384, 16384)],
)
def test_none_is_lost_at_8_in_simulation(n_pairs: int, size_a: int, size_b: int) -> None:
    total = size_a + size_b
    difference = int(total * 0.2 / 1.8 + 1e-9)
    difference -= (difference - total) % 2
    found = estimates(np.random.default_rng(size_a), n_pairs, size_a, size_b, difference)
    assert (found >= THRESHOLD).all()


@pytest.mark.parametrize("n_shingles", [4096, 8192, 8193, 16384, 40_000])
@pytest.mark.parametrize("similarity", [0.73, 0.74, 0.75, 0.76])
def test_the_curve_is_that_of_a_simulation(n_shingles: int, similarity: float) -> None:
    n_pairs = 4_000_000 // n_shingles
    difference = 2 * int(n_shingles * (1 - similarity) / (1 + similarity) + 1e-9)
    found = estimates(np.random.default_rng(n_shingles), n_pairs, n_shingles, n_shingles, difference)
    (expected,) = error_curve(n_shingles, THRESHOLD, [similarity])
    tolerance = 0.06 + 5 * math.sqrt(expected * (1 - expected) / n_pairs)
    assert (found >= THRESHOLD).mean() == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("n_shingles", [8192, 8193, 40_000])
def test_estimates_scatter_as_the_curve_says(n_shingles: int) -> None:
    """Mean and deviation of simulated estimates of J = .75, against the quantiles of the curve."""
    difference = 2 * int(n_shingles * 0.25 / 1.75)
    found = estimates(np.random.default_rng(1), 10_000_000 // n_shingles, n_shingles, n_shingles, difference)
    one_below = next(t for t in np.arange(0.75, 0.7, -1e-4) if error_curve(n_shingles, t, [0.75])[0] >= 0.8413)
    assert found.mean() == pytest.approx(0.75, abs=0.001)
    assert found.std() == pytest.approx(0.75 - one_below, rel=0.1)


@pytest.mark.parametrize("n_shingles", [20, 50, 200, 500, 1000, 2000, 4000])
def test_the_curve_is_near_the_exact_one_for_small_sets(n_shingles: int) -> None:
    differences = [2 * int(n_shingles * (1 - s) / (1 + s) + 1e-9) for s in SIMILARITIES]
    exact = exact_acceptance(n_shingles, max(differences))[differences]
    assert error_curve(n_shingles, THRESHOLD) == pytest.approx(exact, abs=0.22)


def test_pairs_well_below_the_threshold_do_not_pass() -> None:
    sizes = np.arange(1000, 200_001, 100)
    assert acceptance(sizes, sizes, 0.7, THRESHOLD).max() < 1e-6
    assert acceptance(sizes, sizes, 0.6, THRESHOLD).max() < 1e-15
    assert acceptance(100, 70, 0.7, THRESHOLD) == 0.0  # the sizes tell
    assert acceptance(0, 0, 1.0, THRESHOLD) == 0.0
    assert error_curve(300, THRESHOLD, [1.0]).tolist() == [1.0]


def test_columns_hold_what_was_sketched() -> None:
    made = sketches(stored(np.arange(3), np.arange(10_000), np.array([]), np.arange(20)))
    column = to_column(made)
    assert column.type == pa.binary()
    assert [len(value) for value in column.to_pylist()] == [512, 1024, 512, 512]
    for part in (slice(0, 4), slice(1, 3), slice(2, 2)):
        read = from_column(column[part.start : part.stop], made.sizes[part])
        assert read.sizes.tolist() == made.sizes[part].tolist()
        start, end = made.offsets[part.start], made.offsets[part.stop]
        assert read.data.tolist() == made.data[start:end].tolist()
        assert read.offsets.tolist() == (made.offsets[part.start : part.stop + 1] - start).tolist()
    read = from_column(column.cast(pa.large_binary()), made.sizes.astype(np.int32))
    assert similarities(read, np.array([1]), made, np.array([1])).tolist() == [1.0]


@pytest.mark.parametrize(
    ("values", "sizes", "message"),
    [
        ([bytes(512), None], [1, 1], "missing"),
        ([bytes(512)], [5000], "does not belong"),
        ([bytes(100)], [5], "does not belong"),
        ([bytes(512)], [5, 5], "does not belong"),
    ],
)
def test_a_column_that_does_not_fit_is_refused(values: list[bytes], sizes: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_column(pa.array(values, pa.binary()), np.array(sizes, np.int64))


def test_more_than_a_column_holds_is_refused() -> None:
    n = 2**31 // SKETCH_BYTES
    many = Sketches(np.empty(0, np.uint8), np.arange(n + 1) * SKETCH_BYTES, np.ones(n, np.int64))
    with pytest.raises(ValueError, match="4,194,304 sketches do not fit"):
        to_column(many)


def test_estimate_can_be_called_from_a_kernel_as_jaccard_can() -> None:
    @compiled
    def best(made: Sketches) -> float:
        found = 0.0
        for i in range(1, made.sizes.size):
            sketch = made.data[made.offsets[i] : made.offsets[i + 1]]
            found = max(found, estimate(made.data[: made.offsets[1]], made.sizes[0], sketch, made.sizes[i]))
        return found

    assert best(sketches(stored(np.arange(10), np.arange(5), np.arange(8)))) == 0.8


def test_texts_of_real_length_are_estimated_near_their_similarity() -> None:
    words = [f"word{i}" for i in range(3000)]
    edited = [word if i % 100 else f"other{i}" for i, word in enumerate(words)]
    sets = shingle_sets(pa.array([" ".join(words), " ".join(edited)]), PRESETS["refinedweb"])
    a, b = (sets.values[sets.offsets[i] : sets.offsets[i + 1]] for i in range(2))
    made = sketches(sets)
    (found,) = similarities(made, np.array([0]), made, np.array([1]))
    assert found == pytest.approx(jaccard(a, b), abs=0.01)


def test_sketches_do_not_change_between_releases() -> None:
    """They are stored in indexes: a change here is a new format."""
    made = sketches(stored(np.arange(1000), np.arange(20_000)))
    assert hashlib.sha256(made.data).hexdigest()[:16] == "cde1719aa2e6c891"
