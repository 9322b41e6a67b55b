from collections import Counter
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.window_sketch import count, empty_sketch, merged, next_bits, repeated

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9).map(lambda n: n << 60), max_size=40)


@settings(deadline=None)
@given(st.lists(HASHES, min_size=1, max_size=4), st.integers(1, 100))
def test_what_occurs_twice_is_always_seen_twice(units, n_windows):
    sketches = []
    for unit in units:
        sketches.append(empty_sketch(n_windows))
        count(sketches[-1], np.array(unit, np.uint64))
    everything = [value for unit in units for value in unit]
    whole = empty_sketch(n_windows)
    count(whole, np.array(everything, np.uint64))
    together = reduce(merged, sketches)
    assert together.tolist() == whole.tolist() == reduce(merged, reversed(sketches)).tolist()
    seen = repeated(together, np.array(everything, np.uint64))
    bits = (whole.size * 32).bit_length() - 1
    slots = Counter(value >> (64 - bits) for value in everything)
    assert seen.tolist() == [slots[value >> (64 - bits)] > 1 for value in everything]
    assert all(flag for flag, value in zip(seen, everything, strict=True) if everything.count(value) > 1)


def test_counters_stop_at_two():
    sketch = empty_sketch(1)
    for n in range(4):
        count(sketch, np.zeros(1, np.uint64))
        assert repeated(sketch, np.zeros(1, np.uint64)).tolist() == [n > 0]
        assert sketch.tolist() == [1 if n == 0 else 3]


def test_parts_of_sketches_are_added_up_like_the_whole():
    rng = np.random.default_rng(0)
    a, b = empty_sketch(1000), empty_sketch(1000)
    for sketch in (a, b):
        count(sketch, rng.integers(0, 2**64, 1000, np.uint64))
    parts = [merged(a[at : at + 64], b[at : at + 64]) for at in range(0, a.size, 64)]
    assert np.array_equal(np.concatenate(parts), merged(a, b))


def test_single_windows_pass_at_the_rate_stated():
    rng = np.random.default_rng(0)
    n = 2**17
    sketch = empty_sketch(n)
    hashes = rng.integers(0, 2**64, n, np.uint64)
    count(sketch, hashes)
    assert sketch.nbytes == 2 * n
    assert repeated(sketch, hashes).mean() == pytest.approx(1 - np.exp(-1 / 8), rel=0.03)


def test_one_range_of_hashes_fills_a_sketch_of_its_own():
    rng = np.random.default_rng(0)
    n, b = 2**12, np.uint64(3)
    mine = rng.integers(5 << 61, 6 << 61, n, np.uint64)
    sketch = empty_sketch(n)
    count(sketch, mine << b)
    assert repeated(sketch, mine << b).mean() == pytest.approx(1 - np.exp(-1 / 8), rel=0.15)


def test_no_windows():
    assert empty_sketch(0).tolist() == [0]
    assert repeated(empty_sketch(0), np.empty(0, np.uint64)).tolist() == []


def test_sketches_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="sketches of 1 and 32 words"):
        merged(empty_sketch(1), empty_sketch(100))


@given(st.lists(st.lists(st.booleans(), max_size=20), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_bits_of_several_parts_are_read_each_in_its_order(parts, chance):
    packed = [np.packbits(np.array(bits, np.bool_)) for bits in parts]
    places = 8 * np.cumsum([0, *(part.size for part in packed[:-1])])
    part = [number for number, bits in enumerate(parts) for _ in bits]
    chance.shuffle(part)
    left = [iter(bits) for bits in parts]
    cut = chance.randint(0, len(part))
    read = [next_bits(np.concatenate(packed), places, np.array(some, np.int64)) for some in (part[:cut], part[cut:])]
    assert np.concatenate(read).tolist() == [next(left[number]) for number in part]
