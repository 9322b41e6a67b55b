"""The phases after extraction, driven by hand over units made for tests."""

from types import SimpleNamespace

import pytest

from pipeline.curate import _publish, _shards
from pipeline.dedup.job import deduplicate_run
from pipeline.engine import SerialEngine
from pipeline.errors import WorkError
from pipeline.groups import groups_of
from pipeline.phase import finished
from pipeline.progress import Quiet
from pipeline.store import Store
from tests.pipeline.corpus import RECIPE, Row, placed, write_units

ROWS = [Row(id="a" * 32), Row(id="b" * 32), Row(id="c" * 32, stage="quality")]


class Noting(Quiet):
    """Keeps what it is told."""

    def __init__(self):
        self.told = []

    def phase(self, name, total, done):
        self.told.append([name, total, done])

    def advance(self, funnel):
        assert not funnel  # these phases read no page again
        self.told[-1][2] += 1


def test_every_phase_says_how_far_it_is(tmp_path):
    run = SimpleNamespace(store=Store(tmp_path), recipe=RECIPE, key="key", beside=None)
    groups = groups_of(write_units(run.store, placed([ROWS])), 10)
    progress = Noting()
    decided = deduplicate_run(run, groups, SerialEngine(), progress)
    shards = _shards([{"report": {"funnel": {"kept": 2, "quality": 1}}}], decided)
    assert [shard.stage or shard.language for shard in shards] == ["en", "exact_dedup", "quality"]
    records = _publish(run, SerialEngine(), progress, groups, shards)
    assert [record["report"]["rows"] for record in records] == [1, 1, 1]
    assert progress.told == [["deduplicate", 1, 0], ["publish", 3, 3]]


def test_all_units_are_tried_before_failures_are_named():
    done = []

    def work(unit):
        if unit < 0:
            raise ValueError(f"no root of {unit}")
        done.append(unit)
        return {"unit": unit}

    with pytest.raises(WorkError, match=r"2 unit\(s\) failed for good(?s:.*)-1: ValueError\('no root of -1'\)"):
        list(finished(SerialEngine(), work, [-1, 4, -2, 9], "extract"))
    assert done == [4, 9]


def test_a_full_disk_stops_at_once():
    def work(unit):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        list(finished(SerialEngine(), work, [1, 2], "extract"))
