import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.permute import Permutation


def test_is_a_bijection_for_every_small_n() -> None:
    for n in range(1, 2001):
        image = Permutation(n, (7, "web", 64, n % 3)).forward(np.arange(n))
        assert np.array_equal(np.sort(image), np.arange(n))


@given(st.data(), st.integers(1, 10**12), st.integers(0, 2**63))
@settings(deadline=None)
def test_inverse_undoes_forward_and_scalars_equal_arrays(data: st.DataObject, n: int, seed: int) -> None:
    permutation = Permutation(n, (seed, "code", 2048, 0))
    elements = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    images = [permutation.forward(i) for i in elements]
    assert all(type(image) is int and 0 <= image < n for image in images)
    assert [permutation.inverse(image) for image in images] == elements
    assert permutation.forward(np.array(elements)).tolist() == images
    assert permutation.inverse(np.array(images)).tolist() == elements


def test_every_part_of_the_key_counts() -> None:
    keys = [(1, "a", 64, 0), (2, "a", 64, 0), (1, "b", 64, 0), (1, "a", 128, 0), (1, "a", 64, 1)]
    orders = {tuple(Permutation(50, key).forward(np.arange(50)).tolist()) for key in keys}
    assert len(orders) == len(keys)


def test_golden_order() -> None:
    assert Permutation(10, (11, "x", 64, 0)).forward(np.arange(10)).tolist() == [8, 4, 9, 7, 0, 6, 5, 3, 2, 1]


@pytest.mark.parametrize("n", [3, 10, 1000])
def test_each_element_lands_evenly(n: int) -> None:
    """Over 4,000 keys, element 0 falls into each third of the range as often: ± 5 standard deviations."""
    thirds = [3 * Permutation(n, (key,)).forward(0) // n for key in range(4000)]
    counts = np.bincount(thirds, minlength=3)
    expected = np.bincount(3 * np.arange(n) // n) / n * 4000
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(4000 * 2 / 9))


def test_neighbours_are_torn_apart() -> None:
    image = Permutation(10_000, (3, "w", 64, 0)).forward(np.arange(10_000)).astype(np.int64)
    assert abs(np.corrcoef(image[:-1], image[1:])[0, 1]) < 0.05
    assert np.mean(np.abs(np.diff(image)) < 100) < 0.03


def test_outside_is_refused() -> None:
    permutation = Permutation(5, (0,))
    for wrong in (-1, 5, np.array([0, 5]), np.array([-1])):
        with pytest.raises(IndexError):
            permutation.forward(wrong)
    with pytest.raises(ValueError, match="cannot permute 0"):
        Permutation(0, (0,))
