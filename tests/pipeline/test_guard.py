import psutil
import pytest

from pipeline.guard import Guard, GuardLimits, Poisoned

FACTORY = "tests.pipeline.children:open_child"
LIMITS = GuardLimits(cpu_s=0.5, memory_bytes=256 << 20)


@pytest.fixture
def guard(monkeypatch, repository):
    monkeypatch.setenv("PYTHONPATH", str(repository))
    guard = Guard(FACTORY, None, LIMITS)
    yield guard
    guard.close()


def test_items_are_answered_in_order(guard):
    assert list(guard.map([("double", n) for n in range(5)])) == [0, 2, 4, 6, 8]
    assert guard.cpu_s > 0


@pytest.mark.parametrize(("kind", "reason"), [("segfault", "crashed"), ("spin", "cpu_limit")])
def test_an_item_that_kills_its_process_costs_itself_only(guard, kind, reason):
    first, lost, last = guard.map([("double", 1), (kind, None), ("double", 2)])
    assert (first, last) == (2, 4)
    assert isinstance(lost, Poisoned)
    assert lost.reason == reason


def test_an_item_that_kills_its_process_once_is_tried_again(guard, tmp_path):
    assert list(guard.map([("once", str(tmp_path / "mark"))])) == ["second time"]


def test_waiting_is_not_counted(guard):
    assert list(guard.map([("sleep", 1.5)])) == ["slept"]


def test_memory_is_bounded_and_an_exception_is_named(guard):
    lost, fine = guard.map([("hog", 2 << 30), ("double", 1)])
    assert lost == Poisoned("error:MemoryError", "")
    assert fine == 2
    assert next(guard.map([("what", None)])) == Poisoned("error:KeyError", "'what'")


def test_what_a_library_prints_does_not_disturb(guard):
    assert list(guard.map([("print", None), ("double", 3)])) == ["printed", 6]


def test_close_ends_the_child(guard):
    (pid,) = guard.map([("pid", None)])
    guard.close()
    assert not psutil.pid_exists(pid)


def test_a_child_that_cannot_open_its_tools_says_why(monkeypatch, repository):
    monkeypatch.setenv("PYTHONPATH", str(repository))
    with pytest.raises(RuntimeError, match="no model"):
        list(Guard(FACTORY, "broken", LIMITS).map([("double", 1)]))
