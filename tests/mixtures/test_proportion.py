from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.proportion import apportioned, proportional, proportional_within

sizes_of = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**14), min_size=1)
temperatures = st.fractions(Fraction(1), Fraction(20), max_denominator=50)


def test_at_temperature_one_the_sizes_decide() -> None:
    assert proportional({"de": 26, "es": 24, "fr": 50}, Fraction(1), 100) == {"de": 26, "es": 24, "fr": 50}


def test_at_temperature_two_square_roots_decide() -> None:
    assert proportional({"a": 900, "b": 100, "c": Fraction(1, 4)}, Fraction(2), 81) == {"a": 60, "b": 20, "c": 1}


def test_mt5s_exponent() -> None:
    """0.3 of 10^12 and 10^10 is 10^3.6 and 10^3: 3981 to 1000."""
    assert proportional({"a": 10**12, "b": 10**10}, Fraction(10, 3), 4981) == {"a": 3981, "b": 1000}


def test_very_unequal_sizes_at_a_high_temperature_are_nearly_equal() -> None:
    assert proportional({"a": 10**14, "b": 1}, Fraction(100), 1000) == {"a": 580, "b": 420}


@given(sizes_of, temperatures, st.integers(1, 2**20))
@settings(deadline=None, max_examples=200)
def test_the_sum_is_exact_larger_sizes_get_more_and_order_decides_nothing(
    sizes: dict[str, int], temperature: Fraction, out_of: int
) -> None:
    try:
        weights = proportional(sizes, temperature, out_of)
    except ValueError as error:
        assert "give a greater `out_of`" in str(error)
        return
    assert sum(weights.values()) == out_of and list(weights) == list(sizes)
    ordered = sorted(sizes, key=lambda name: sizes[name])
    assert all(weights[a] <= weights[b] or sizes[a] == sizes[b] for a, b in pairwise(ordered))
    assert weights == proportional(dict(sorted(sizes.items(), reverse=True)), temperature, out_of)
    roots = {name: size ** float(1 / temperature) for name, size in sizes.items()}
    assert all(abs(weights[name] - out_of * roots[name] / sum(roots.values())) < 1.001 for name in sizes)


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 50).map(Fraction), min_size=1), st.integers(1, 99))
def test_largest_remainders_are_rounded_up(parts: dict[str, Fraction], out_of: int) -> None:
    if not any(parts.values()):
        return
    got = apportioned(parts, out_of)
    off = {name: got[name] - part * out_of / sum(parts.values()) for name, part in parts.items()}
    assert sum(got.values()) == out_of and all(abs(o) < 1 for o in off.values())
    raised, kept = [1 - o for o in off.values() if o > 0], [-o for o in off.values() if o <= 0]
    assert not raised or max(kept, default=Fraction(0)) <= min(raised)


@pytest.mark.parametrize(
    ("sizes", "temperature", "out_of", "message"),
    [
        ({}, 1, 100, "sizes: there is none"),
        ({"a": 0, "b": 1}, 1, 100, r"sizes\.a: 0 must be above 0; leave the name out"),
        ({"a": 1}, 0, 100, "temperature: 0 must be above 0"),
        (
            {"a": 10**6, "b": 1},
            1,
            100,
            r"sizes\.b: its share is rounded to nothing out of 100; give a greater",
        ),
    ],
)
def test_refusals(sizes: dict[str, int], temperature: int, out_of: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        proportional(sizes, Fraction(temperature), out_of)


@given(sizes_of, temperatures, st.integers(1, 1000), st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 400)))
@settings(deadline=None, max_examples=200)
def test_no_weight_is_above_its_most_and_the_others_keep_their_proportions(
    sizes: dict[str, int], temperature: Fraction, out_of: int, most: dict[str, int]
) -> None:
    try:
        weights = proportional_within(sizes, temperature, out_of, most)
    except ValueError as error:
        assert "allow more" in str(error) or "give a greater `out_of`" in str(error)
        assert "allow more" not in str(error) or sum(most[name] for name in sizes) < out_of
        return
    assert sum(weights.values()) == out_of and list(weights) == list(sizes)
    assert all(weights[name] <= most.get(name, out_of) for name in sizes)
    roots = {name: size ** float(1 / temperature) for name, size in sizes.items()}
    if all(out_of * roots[name] / sum(roots.values()) < most.get(name, out_of) - 0.001 for name in sizes):
        assert weights == proportional(sizes, temperature, out_of)
    free = [name for name in sizes if weights[name] < most.get(name, out_of + 1)]
    for a, b in pairwise(free):
        expected = (weights[a] + weights[b]) * roots[a] / (roots[a] + roots[b])
        assert abs(weights[a] - expected) < 1.001


def test_what_a_cap_frees_goes_to_the_others() -> None:
    sizes = {"a": 60, "b": 20, "c": 20}
    assert proportional_within(sizes, Fraction(1), 100, {"a": 40}) == {"a": 40, "b": 30, "c": 30}
    assert proportional_within(sizes, Fraction(1), 100, {"a": 40, "b": 25}) == {"a": 40, "b": 25, "c": 35}
    assert proportional_within(sizes, Fraction(1), 100, {"a": 40, "b": 25, "c": 35}) == {"a": 40, "b": 25, "c": 35}
    with pytest.raises(ValueError, match="most: only 99 of 100 when all are at their most; allow more"):
        proportional_within(sizes, Fraction(1), 100, {"a": 40, "b": 25, "c": 34})
