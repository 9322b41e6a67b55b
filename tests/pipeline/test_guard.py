import subprocess
import sys

import psutil
import pytest

from pipeline.guard import Guard, GuardLimits, Poisoned

FACTORY = "tests.pipeline.children:open_child"
ABANDONING = f"""
from pipeline.guard import Guard, GuardLimits
guard = Guard({FACTORY!r}, None, GuardLimits(cpu_s=600.0))
print(*guard.map([("pid", None)]), flush=True)
list(guard.map([("spin", None)]))
"""
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


def test_an_exception_that_cannot_be_sent_is_named(guard):
    lost, fine = guard.map([("odd error", None), ("double", 3)])
    assert lost == Poisoned("error:OddError", "told in two parts")
    assert fine == 6


def test_a_child_dies_with_its_parent_in_the_middle_of_an_item(repository, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(repository))
    parent = subprocess.Popen([sys.executable, "-c", ABANDONING], cwd=repository, stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert psutil.wait_procs([child], timeout=30)[1] == []


def test_code_in_the_folder_it_runs_in_is_left_alone(tmp_path, monkeypatch, guard):
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "__init__.py").write_text("raise RuntimeError('not ours')")
    monkeypatch.chdir(tmp_path)
    assert list(guard.map([("double", 2)])) == [4]


@pytest.mark.parametrize("wrong", [{"cpu_s": 0.0}, {"memory_bytes": -1}])
def test_limits_that_would_lose_every_page_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .*; give more than 0"):
        GuardLimits(**wrong)
