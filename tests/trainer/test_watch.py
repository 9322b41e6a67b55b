import random
from statistics import NormalDist

import pytest

from trainer.watch import Watch, WatchConfig


def falling(n: int, seed: int = 0) -> list[float]:
    """Losses of a run that goes well: falling slowly, with noise."""
    noise = random.Random(seed)
    return [3 + 4 / (1 + i / 200) + noise.gauss(0, 0.05) for i in range(n)]


def test_a_run_that_goes_well_has_no_spike() -> None:
    for seed in range(20):
        watch = Watch(WatchConfig())
        assert not any(watch.trouble(loss) for loss in falling(2000, seed))


def test_the_score_of_normal_noise_is_its_z() -> None:
    noise = NormalDist(5, 0.1).samples(4096, seed=1)
    watch = Watch(WatchConfig(steps=4096), noise)
    assert watch.score(5.4) == pytest.approx(4, abs=0.2)
    assert watch.score(4.9) == pytest.approx(-1, abs=0.1)


def test_trouble_is_several_spikes_in_a_row() -> None:
    watch = Watch(WatchConfig(in_a_row=3), falling(300))
    assert [watch.trouble(loss) for loss in (9.0, 8.5, 5.0, 9.0, 9.1, 9.2, 9.3)] == [False] * 5 + [True, True]
    assert max(watch.recent) < 8


def test_it_knows_where_the_spikes_in_a_row_began() -> None:
    watch = Watch(WatchConfig(in_a_row=3), falling(300))
    for position, loss in enumerate((9.0, 5.0, 9.0, 9.1, 9.2), start=40):
        watch.trouble(loss, position)
    assert (watch.spikes, watch.first) == (3, 42)


def test_it_says_nothing_before_it_has_seen_enough() -> None:
    watch = Watch(WatchConfig(steps=128, in_a_row=1))
    assert not any(watch.trouble(loss) for loss in [*falling(127), 100.0])
    assert Watch(WatchConfig(in_a_row=1), falling(128)).trouble(100.0)


def test_a_flat_loss_has_a_spread_of_its_own() -> None:
    watch = Watch(WatchConfig(in_a_row=1), [2.0] * 128)
    assert not watch.trouble(2.01)
    assert watch.trouble(2.1)


def test_going_on_from_what_is_remembered_is_as_if_never_stopped() -> None:
    losses = [*falling(400), 9.0, 9.0, 9.0]
    whole = Watch(WatchConfig())
    expected = [whole.trouble(loss) for loss in losses]
    for stop in (0, 50, 399, 401, 402):
        first = Watch(WatchConfig())
        found = [first.trouble(loss) for loss in losses[:stop]]
        second = Watch(WatchConfig(), list(first.recent), first.spikes, first.first)
        assert found + [second.trouble(loss) for loss in losses[stop:]] == expected


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings in ({"steps": 2}, {"in_a_row": 0}, {"z_score": 0.0}, {"most_rewinds": -1}):
        with pytest.raises(ValueError, match="must be at least"):
            WatchConfig(**settings)
