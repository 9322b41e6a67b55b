from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.interleave import MAX_PERIOD, Interleaving, integer_weights

weights_lists = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@given(weights_lists)
@settings(max_examples=100, deadline=None)
def test_every_prefix_is_within_tijdemans_bound_of_every_share(weights: list[int]) -> None:
    k, period = len(weights), sum(weights)
    interleaving = Interleaving({str(i): weight for i, weight in enumerate(weights)})
    items = [interleaving.at(i) for i in range(2 * period)]
    is_component = np.array([int(name) for name, _ in items])[:, None] == np.arange(k)
    counts = np.vstack([np.zeros(k, np.int64), np.cumsum(is_component, axis=0)])  # [prefix, component]
    assert [count for _, count in items] == [counts[i, int(name)] for i, (name, _) in enumerate(items)]
    off = np.abs(counts * period - np.arange(2 * period + 1)[:, None] * np.array(weights))  # in 1 / period
    assert np.all(off * (2 * k - 2) <= (2 * k - 3) * period) if k > 1 else not off.any()
    for i in (0, 1, period - 1, period, 2 * period):
        assert [interleaving.count_before(str(c), i) for c in range(k)] == counts[i].tolist()


def test_the_longest_period_with_very_unequal_shares() -> None:
    weights = {"most": MAX_PERIOD - 300, "some": 257, **{f"rare{i}": 1 for i in range(43)}}
    interleaving = Interleaving(weights)
    order = np.array([interleaving.names.index(interleaving.at(i)[0]) for i in range(0, 3 * MAX_PERIOD, 4097)])
    assert (order == 0).mean() > 0.99
    for name, weight in weights.items():
        for i in range(0, MAX_PERIOD + 1, 65_521):
            assert abs(interleaving.count_before(name, i) - weight * i / MAX_PERIOD) < 1
        assert interleaving.count_before(name, MAX_PERIOD) == weight


def test_known_order() -> None:
    interleaving = Interleaving({"a": 3, "b": 2, "c": 1})
    assert "".join(interleaving.at(i)[0] for i in range(12)) == "abacababacab"


def test_exact_shares_stay_exact() -> None:
    shares = {"a": Fraction(1, 3), "b": Fraction(1, 6), "c": Fraction(1, 2)}
    assert integer_weights(shares) == {"a": 2, "b": 1, "c": 3}


@given(st.lists(st.integers(1, 10**9), min_size=2, max_size=20))
@settings(deadline=None)
def test_rounding_is_by_largest_remainder(parts: list[int]) -> None:
    shares = {str(i): Fraction(part, sum(parts)) for i, part in enumerate(parts)}
    try:
        weights = integer_weights(shares)
    except ValueError:
        assert min(shares.values()) < Fraction(1, MAX_PERIOD)
        return
    period = sum(weights.values())
    assert period <= MAX_PERIOD
    remainders = {name: share * period - weights[name] for name, share in shares.items()}
    assert all(abs(remainder) < 1 for remainder in remainders.values())
    raised = [r + 1 for r in remainders.values() if r < 0]
    kept = [r for r in remainders.values() if r >= 0]
    assert not raised or max(kept, default=Fraction(0)) <= min(raised)


def test_a_share_too_fine_is_refused() -> None:
    tiny = Fraction(1, 2**22 + 1)
    with pytest.raises(ValueError, match="b: a share of 1/4194305 is below the finest possible, 1/1048576"):
        integer_weights({"a": 1 - tiny, "b": tiny})
