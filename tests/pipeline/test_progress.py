import os
import sys
from collections import Counter

import pytest

from pipeline.progress import Terminal


def test_a_reader_that_goes_away_does_not_end_the_work(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Terminal(["minhash"])
    progress.phase("extract", 2, 0)
    progress.advance(Counter(kept=3))
    progress.say("still here")
    progress.close()
    with pytest.raises(BrokenPipeError):  # what was said is still unread
        stream.close()


def test_the_phase_and_what_was_finished_earlier_are_told(capsys):
    progress = Terminal(["minhash"])
    progress.phase("extract", 3, 2)
    progress.phase("deduplicate", 1, 0)
    progress.close()
    assert capsys.readouterr().err == "extract: 3 units, 2 finished earlier\ndeduplicate: 1 unit\n"


def test_where_there_is_no_terminal_one_line_a_minute_is_told(capsys, monkeypatch):
    now = iter([0.0, 0.0, 59.0, 61.0, 61.0])
    monkeypatch.setattr("pipeline.progress.time.monotonic", lambda: next(now))
    progress = Terminal(["minhash"])
    progress.phase("extract", 3, 0)
    progress.advance(Counter(kept=2, minhash=1))
    progress.advance(Counter(kept=1))
    assert capsys.readouterr().err.splitlines()[1:] == ["extract: 2/3 units, 4 pages in, 3 kept so far"]


def test_work_that_counts_no_pages_tells_of_its_units_alone(capsys, monkeypatch):
    now = iter([0.0, 0.0, 61.0, 61.0])
    monkeypatch.setattr("pipeline.progress.time.monotonic", lambda: next(now))
    progress = Terminal([])
    progress.phase("import/scatter", 2, 0)
    progress.advance(Counter())
    assert capsys.readouterr().err.splitlines()[1:] == ["import/scatter: 1/2 units"]
