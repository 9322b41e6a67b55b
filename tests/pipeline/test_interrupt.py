"""A request to stop is heard once, at the next safe point at the latest. Every signal here is a real one."""

import contextlib
import os
import signal

import pytest

from pipeline.engine import SerialEngine
from pipeline.interrupt import WATCHED, Stop, listening


def interrupt(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def swallow_interrupt():
    """What Python does with an exception in a destructor or in a function that C calls."""
    with contextlib.suppress(KeyboardInterrupt):
        interrupt()
        raise AssertionError("the signal was not heard")


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of a terminal's process in the foreground, whatever this one was started with."""
    before = {number: signal.getsignal(number) for number in WATCHED}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", WATCHED)
def test_a_signal_is_heard_where_it_arrives(number):
    with pytest.raises(KeyboardInterrupt), listening():
        interrupt(number)
        raise AssertionError("the signal was not heard")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_swallowed_interrupt_is_raised_at_the_next_safe_point():
    with listening() as stop:
        stop.check()
        swallow_interrupt()
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_an_interrupt_is_held_back_to_the_end_of_the_outermost_block():
    reached = []
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        with stop.held_back():
            with contextlib.suppress(KeyboardInterrupt), stop.held_back():
                interrupt()
                reached.append("within")
            reached.append("between")
        reached.append("behind")
    assert reached == ["within", "between"]


def test_an_error_in_a_block_leaves_it_and_the_interrupt_waits_for_the_next_safe_point():
    with listening() as stop:
        with pytest.raises(ValueError), stop.held_back():
            interrupt()
            raise ValueError
        assert (stop.asked, stop.depth) == (True, 0)
        with pytest.raises(KeyboardInterrupt):
            stop.check()


def test_an_error_after_an_interrupt_is_its_consequence():
    with pytest.raises(KeyboardInterrupt) as raised, listening():
        swallow_interrupt()
        raise RuntimeError("no compiled object yet")
    assert str(raised.value.__cause__) == "no compiled object yet"


def test_an_error_without_an_interrupt_is_left_alone():
    with pytest.raises(RuntimeError, match="odd"), listening():
        raise RuntimeError("odd")


def test_a_second_signal_ends_the_process_whatever_it_does(tmp_path):
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGINT
        return
    try:
        with listening() as stop, stop.held_back():
            interrupt()
            interrupt()
    finally:
        os._exit(0)


def test_a_signal_that_is_ignored_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with listening() as stop:
        interrupt()
        assert not stop.asked
        with pytest.raises(KeyboardInterrupt):
            interrupt(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_the_serial_engine_stops_behind_the_unit_that_swallowed_an_interrupt():
    def work(unit):
        if unit == 3:
            swallow_interrupt()
        return unit

    seen = []
    with listening() as stop, pytest.raises(KeyboardInterrupt):
        for outcome in SerialEngine(stop).run(work, range(9)):
            seen.append(outcome.result)
    assert seen == [0, 1, 2, 3]


def test_the_serial_engine_does_not_pass_over_an_interrupt_in_the_last_unit():
    with listening() as stop, pytest.raises(KeyboardInterrupt):
        list(SerialEngine(stop).run(lambda _: swallow_interrupt(), [0]))
    assert list(SerialEngine(Stop()).run(lambda _: None, [])) == []
