import signal

import pytest

from trainer.signals import StopWish, listening


@pytest.mark.parametrize(("number", "passed_on"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGINT, 1)])
def test_a_scheduler_may_repeat_itself_and_a_person_may_insist(number: signal.Signals, passed_on: int) -> None:
    """Slurm signals torchrun and its processes, and torchrun passes on to these what it got."""
    acted, wish = [], StopWish()
    before = signal.signal(number, lambda heard, _: acted.append(heard))
    try:
        with listening(wish):
            signal.raise_signal(number)
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)
    assert acted == [number] * passed_on
    assert wish.take(wish.after(1))
    assert wish.preempted == (number != signal.SIGINT)
