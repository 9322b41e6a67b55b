import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixtures.best_fit import best_fit, chunks_of


def by_hand(lengths: list[int], capacity: int) -> list[int]:
    """Best-fit decreasing, an item at a time; of bins with equal room the one that has had it longest."""
    rooms: list[int] = []
    since: list[int] = []
    bins = [0] * len(lengths)
    for clock, item in enumerate(sorted(range(len(lengths)), key=lambda i: -lengths[i])):
        fitting = [b for b, room in enumerate(rooms) if room >= lengths[item]]
        if fitting:
            chosen = min(fitting, key=lambda b: (rooms[b], since[b]))
        else:
            chosen = len(rooms)
            rooms.append(capacity)
            since.append(clock)
        rooms[chosen] -= lengths[item]
        since[chosen] = clock
        bins[item] = chosen
    return bins


@given(st.lists(st.integers(1, 12), max_size=60))
def test_as_good_as_best_fit_by_hand(lengths: list[int]) -> None:
    """Bins of equal room are interchangeable, so that their fillings are compared, not their numbers."""
    bins = best_fit(np.array(lengths, np.int64), 12).tolist()
    expected = by_hand(lengths, 12)
    assert fillings(bins, lengths) == fillings(expected, lengths)
    assert sorted(set(bins)) == list(range(len(set(bins))))


def fillings(bins: list[int], lengths: list[int]) -> list[list[int]]:
    inside: dict[int, list[int]] = {}
    for number, length in zip(bins, lengths, strict=True):
        inside.setdefault(number, []).append(length)
    return sorted(sorted(items) for items in inside.values())


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 9))
def test_chunks_make_each_token_but_the_first_a_target_once(lengths: list[int], context: int) -> None:
    starts = np.cumsum([0, *lengths])
    targets = []
    for start, length in chunks_of(starts, context).tolist():
        assert 2 <= length <= context + 1
        targets += range(start + 1, start + length)
    assert targets == [t for first, n in zip(starts, lengths, strict=False) for t in range(first + 1, first + n)]


def test_a_hundred_thousand_documents_leave_little_padding() -> None:
    lengths = np.random.default_rng(3).lognormal(6, 1, 100_000).astype(np.int64).clip(2, 2049)
    filled = np.bincount(best_fit(lengths, 2049), weights=lengths)
    assert filled.max() <= 2049
    assert 1 - filled.sum() / (2049 * len(filled)) < 0.001
