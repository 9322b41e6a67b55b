"""Runs with an index, whole: resumed, broken off, extended, and what is refused. In this process, on the sample."""

from dataclasses import replace

import pytest

from pipeline import curate as module
from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError
from pipeline.index import read_index, remove_crawl
from pipeline.progress import Quiet
from tests.pipeline.test_curate_runs import digests


class Broken(Exception):
    """A run that ends here."""


@pytest.fixture(scope="module")
def files(sample):
    return [str(path) for path in sorted(sample.glob("*.warc.gz"))]


@pytest.fixture
def job(files, recipe_file, tmp_path):
    chosen = recipe.load(str(recipe_file))
    return CurateJob(inputs=(files[0],), output=tmp_path / "1", recipe=chosen, index=tmp_path / "index")


def run(job):
    return curate(job, SerialEngine, Quiet())


def breaking(*_):
    raise Broken


def segments(job):
    return [segment.documents for segment in read_index(job.index).segments]


def test_a_second_run_removes_what_the_first_has_and_both_can_be_resumed(job, files, tmp_path, monkeypatch):
    first = run(job)
    n = first["totals"]["published"]
    before = digests(job.output)
    again = replace(job, output=tmp_path / "2")
    with monkeypatch.context() as patch:  # broken before its segment was written
        patch.setattr("pipeline.dedup.job.append", breaking)
        with pytest.raises(Broken):
            run(again)
    assert len(segments(job)) == 1
    with monkeypatch.context() as patch:  # and after it was, before the run was marked finished
        patch.setattr(module.Run, "finish", breaking)
        with pytest.raises(Broken):
            run(again)
    assert len(segments(job)) == 2
    second = run(again)
    assert second["totals"]["published"] == 0
    steps = {step["stage"]: step["in"] - step["out"] for step in second["funnel"]}
    assert steps["url_dedup"] + steps["exact_dedup"] + steps["minhash"] >= n
    assert len(segments(job)) == 2
    assert run(again) == second  # finished
    assert run(job) == first
    assert digests(job.output) == before
    run(replace(job, restart=True))
    assert digests(job.output) == before  # neither its own segment nor the later one of copies is looked at
    assert len(segments(job)) == 2
    assert remove_crawl(job.index, read_index(job.index).segments[0].crawls[0]) > 0


def test_more_inputs_replace_the_segment(job, files, tmp_path):
    run(job)
    (first,) = segments(job)
    extended = replace(job, inputs=tuple(files[:2]))
    summary = run(extended)
    (both,) = segments(job)
    assert both > first
    fresh = replace(extended, output=tmp_path / "fresh", index=tmp_path / "other")
    assert run(fresh)["totals"] == summary["totals"]
    assert digests(fresh.output) == digests(extended.output)


def test_a_folder_keeps_to_its_index(job):
    run(job)
    with pytest.raises(UsageError, match="holds a run with the index .*give the same --index or none, or --restart"):
        run(replace(job, index=None))
    without = replace(job, output=job.output.with_name("without"), index=None)
    run(without)
    with pytest.raises(UsageError, match="holds a run without an index"):
        run(replace(without, index=job.index))


def test_a_run_that_began_with_a_segment_that_is_gone_is_refused(job, tmp_path, monkeypatch):
    run(job)
    second = replace(job, output=tmp_path / "2")
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.dedup.job.append", breaking)
        with pytest.raises(Broken):
            run(second)
    remove_crawl(job.index, read_index(job.index).segments[0].crawls[0])
    with pytest.raises(UsageError, match="no longer holds the segment"):
        run(second)
