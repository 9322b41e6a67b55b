"""Every damaged file of the shared data through a whole run: nothing intact is lost, nothing foreign comes in."""

import json
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.errors import WorkError
from pipeline.progress import Quiet
from pipeline.publish import DAMAGED
from pipeline.store import Store
from pipeline.why import why

LOG_OF_WGET = "metadata://gnu.org/"
"""Resource records of two files, which the list of responses leaves out."""


@pytest.fixture(scope="module")
def expected(shared_data):
    return json.loads((shared_data / "corrupt" / "expected.json").read_text())


@pytest.fixture(scope="module")
def run(shared_data, expected, recipe_file, tmp_path_factory):
    """The run's folder and its numbers; the files together, as a folder."""
    output = tmp_path_factory.mktemp("corrupt")
    inputs = tuple(str(shared_data / "corrupt" / name) for name in expected)
    job = CurateJob(inputs=inputs, output=output, recipe=recipe.load(str(recipe_file)))
    return output, curate(job, SerialEngine, Quiet()), job


@pytest.fixture(scope="module")
def captures(run):
    """URLs of all captures, published or rejected, by file."""
    store, found = Store(run[0]), defaultdict(list)
    for folder in ("RefinedWeb-English", "RefinedWeb-Europe", "rejected"):
        for name in store.names(folder, ".parquet"):
            for row in pq.read_table(store.path(name), columns=["warc_path", "url"], partitioning=None).to_pylist():
                found[row["warc_path"].removeprefix("corrupt/")].append(row["url"])
    return found


def of(found, name):
    """What belongs to the file `name`; file names are unique in this folder."""
    return next((urls for path, urls in found.items() if Path(path).name == Path(name).name), [])


def test_all_intact_records_are_there_and_no_foreign_response(expected, captures):
    assert len(expected) == 52
    for name, what in expected.items():
        urls = Counter(of(captures, name))
        assert not Counter(what["uris"]) - urls, name
        allowed = set(what["uris"]) | set(what["damaged_uris"])
        foreign = {url for url in set(urls) - allowed if not url.startswith(LOG_OF_WGET)}
        assert not foreign, name


def test_damage_is_in_the_quarantine_table_with_its_bytes(expected, run):
    rows = pq.read_table(Store(run[0]).path(DAMAGED)).to_pylist()
    assert all(0 <= row["start"] <= row["end"] and row["reason"] for row in rows)
    damaged = {Path(row["warc_path"]).name for row in rows}
    for name, what in expected.items():
        if what["damaged_members"]:
            assert Path(name).name in damaged, name


def test_every_byte_and_every_page_is_accounted_for(run):
    _, summary, _ = run
    assert len(summary["inputs"]) == 52
    for source in summary["inputs"]:
        assert source["size"] == source["records"] + source["padding"] + source["damaged"], source["warc_path"]
        assert source["captures"] == source["published"] + source["rejected"], source["warc_path"]
    assert summary["totals"]["poisoned"] == 0
    rules = [rule for step in summary["funnel"] for rule in step["rules"]]
    assert not [rule for rule in rules if rule.startswith("error:")]


def test_each_page_says_what_became_of_it(expected, run):
    output, _, _ = run
    for name in ("derived/huge_member.warc.gz", "derived/bitflip_middle.warc.gz"):
        for url in expected[name]["uris"]:
            assert why(output, url), url


@pytest.mark.slow
def test_small_units_change_nothing(run, tmp_path):
    output, _, job = run
    small = replace(job.recipe, reader=replace(job.recipe.reader, unit_bytes=20_000))
    curate(replace(job, output=tmp_path / "out", recipe=small), SerialEngine, Quiet())
    first, second = Store(output), Store(tmp_path / "out")
    for folder in ("RefinedWeb-English", "RefinedWeb-Europe", "rejected", "quarantine", "dedup"):
        names = first.names(folder)
        assert names == second.names(folder)
        assert [first.digest(name) for name in names] == [second.digest(name) for name in names]


def test_strict_fails_after_the_work_is_done(run):
    _, _, job = run
    with pytest.raises(WorkError, match="--strict: .* damaged"):
        curate(replace(job, strict=True), SerialEngine, Quiet())
