"""A finished run decided again: the same recipe gives the same bytes, another one decides without extracting."""

import json
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from pipeline import recipe, replay, unit
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError, WorkError
from pipeline.progress import Quiet
from pipeline.run import clean
from pipeline.store import Store
from pipeline.why import why
from stages.cascade import UNDECIDED
from stages.urls import domain_of

DIGESTED = ("RefinedWeb-English", "RefinedWeb-Europe", "rejected", "quarantine", "dedup")


def digests(output):
    store = Store(output)
    return {name: store.digest(name) for folder in DIGESTED for name in store.names(folder)}


def again(first, output, given, *, reread=False, progress=None, restart=False):
    job = CurateJob(inputs=(), output=output, recipe=given, replay=first, reread=reread, restart=restart)
    return curate(job, SerialEngine, progress or Quiet())


def from_inputs(sample, output, given):
    return curate(CurateJob(inputs=(str(sample),), output=output, recipe=given), SerialEngine, Quiet())


def changed(recipe_file, name, text):
    file = recipe_file.parent / f"{name}.yaml"
    file.write_text(f"extends: recipe.yaml\nname: {name}\n{text}\n")
    return recipe.load(str(file))


@pytest.fixture(scope="module")
def given(recipe_file):
    return recipe.load(str(recipe_file))


@pytest.fixture(scope="module")
def first(curated):
    return curated


@pytest.fixture
def no_extraction(monkeypatch):
    """Any reading of a WARC, and any page that is handed to the guarded process, is an error."""

    def refuse(*_, **__):
        raise AssertionError("read again")

    monkeypatch.setattr(replay, "captures_of", refuse)
    monkeypatch.setattr(unit, "read_captures", refuse)
    monkeypatch.setattr("pipeline.guard.Guard.map", refuse)


def outcome(output):
    """Every capture's fate, by its place."""
    store, found = Store(output), {}
    for name in store.names("rejected", ".parquet"):
        for row in pq.read_table(store.path(name), partitioning=None).to_pylist():
            found[row["warc_path"], row["warc_offset"]] = (row["stage"], row["rule"], row["text"])
    for folder in ("RefinedWeb-English", "RefinedWeb-Europe"):
        for name in store.names(folder, ".parquet"):
            for row in pq.read_table(store.path(name), partitioning=None).to_pylist():
                found[row["warc_path"], row["warc_offset"]] = ("published", row["language"], row["text"])
    return found


def test_the_same_recipe_gives_the_same_bytes(first, given, tmp_path, no_extraction):
    summary = again(first, tmp_path / "out", given)
    assert digests(tmp_path / "out") == digests(first)
    assert len(digests(first)) > 15
    before = json.loads((first / "report" / "stats.json").read_text())
    for name in ("inputs", "totals", "funnel", "by_language", "corrections", "datasets"):
        assert summary[name] == before[name]


def test_another_recipe_decides_without_extracting(first, recipe_file, tmp_path, no_extraction):
    text = "languages: [en, de, fr]\nopt_out: {drop: []}\nlines: null\nquality: {overrides: {short_words: {min: 4.5}}}"
    other = changed(recipe_file, "other", text)
    again(first, tmp_path / "replayed", other)
    replayed = outcome(tmp_path / "replayed")
    assert {fate[0] for fate in replayed.values()} >= {"published", "quality", "language_filter", "url_filter"}
    assert len(replayed) == len(outcome(first))


def test_a_narrower_recipe_agrees_with_a_fresh_run(first, recipe_file, sample, tmp_path):
    text = "opt_out: {drop: []}\nlines: null\nquality: {overrides: {short_words: {min: 4.5}}}"
    other = changed(recipe_file, "agreeing", text)
    again(first, tmp_path / "replayed", other)
    from_inputs(sample, tmp_path / "fresh", other)
    assert digests(tmp_path / "replayed") == digests(tmp_path / "fresh")
    assert digests(tmp_path / "replayed") != digests(first)


def test_other_rules_of_deduplication_agree_with_a_fresh_run(first, recipe_file, sample, tmp_path):
    geometry = "minhash: {geometry: {bands: 20, rows: 4, shingle: 3, seed: 7}, threshold: 0.6}"
    rules = "substrings: {k: 8, mode: cut}\ndedup: {url: kept, exact: false}"
    other = changed(recipe_file, "dedup", f"{geometry}\n{rules}")
    again(first, tmp_path / "replayed", other)
    from_inputs(sample, tmp_path / "fresh", other)
    assert digests(tmp_path / "replayed") == digests(tmp_path / "fresh")
    tables = [pq.read_table(output / "dedup" / "spans.parquet") for output in (first, tmp_path / "replayed")]
    assert not tables[0].equals(tables[1])


def test_pages_dropped_before_extraction_are_undecided_or_read_again(first, recipe_file, sample, tmp_path):
    text = "page: {min_words: 1}\nquality: {overrides: {too_few_words: {min: 5}}}\nurl: {rules: {blocked: false}}"
    wider = changed(recipe_file, "wider", text)
    summary = again(first, tmp_path / "undecided", wider)
    (step,) = [step for step in summary["funnel"] if step["stage"] == UNDECIDED]
    assert step["rules"] == {"url_filter": 1, "visible": 1}
    assert summary["totals"]["captures"] == summary["totals"]["published"] + summary["totals"]["rejected"]
    undecided = {place: fate for place, fate in outcome(tmp_path / "undecided").items() if fate[0] == UNDECIDED}
    assert len(undecided) == 2

    again(first, tmp_path / "reread", wider, reread=True)
    from_inputs(sample, tmp_path / "fresh", wider)
    assert digests(tmp_path / "reread") == digests(tmp_path / "fresh")
    (entry,) = why(tmp_path / "undecided", "https://bare-tiny.example/")
    assert (entry["stage"], entry["rule"], entry["detail"]) == (UNDECIDED, "visible", "too_few_words")

    again(tmp_path / "undecided", tmp_path / "second", wider)
    assert digests(tmp_path / "second") == digests(tmp_path / "undecided")


def test_a_block_list_of_today_drops_what_an_earlier_run_kept(first, recipe_file, sample, tmp_path, no_extraction):
    published = [place for place, fate in outcome(first).items() if fate[0] == "published"]
    hosts = {domain_of(entry["url"]) for entry in json.loads((sample / "captures.json").read_text())}
    (recipe_file.parent / "more.txt").write_text("\n".join(sorted(hosts)[::2]))
    other = changed(recipe_file, "blocking", "url: {block_lists: [more.txt]}")
    again(first, tmp_path / "out", other)
    fates = outcome(tmp_path / "out")
    dropped = [place for place in published if fates[place][:2] == ("url_filter", "blocked_domain")]
    assert dropped
    assert all(fates[place][2] == "" for place in dropped)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("page: {extractor: resiliparse}", "extractor"),
        ("page: {limits: {max_tags: 9}}", "limits"),
        ("capture: {statuses: [200, 203]}", "capture"),
        ("page: {second_opinion: false}", "second_opinion"),
    ],
)
def test_what_asks_for_another_reading_is_refused(first, recipe_file, tmp_path, text, named):
    with pytest.raises(UsageError, match=f"{named}: not as in the run"):
        again(first, tmp_path / "out", changed(recipe_file, "reading", text))
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_replayed_is_refused_before_any_work(first, given, tmp_path):
    with pytest.raises(UsageError, match="no finished run here"):
        again(tmp_path, tmp_path / "out", given)
    with pytest.raises(UsageError, match="choose another folder"):
        again(first, first, given, restart=True)
    shutil.copytree(first, tmp_path / "cleaned")
    clean(tmp_path / "cleaned")
    with pytest.raises(UsageError, match="was freed by `falconmix clean`"):
        again(tmp_path / "cleaned", tmp_path / "out", given)
    said = json.loads((tmp_path / "cleaned" / "run.json").read_text())
    said["recipe"]["surprise"] = 1
    (tmp_path / "cleaned" / "run.json").write_text(json.dumps(said))
    with pytest.raises(UsageError, match="made by another version"):
        again(tmp_path / "cleaned", tmp_path / "out", given)


def test_reading_again_needs_the_inputs_as_they_were(given, sample, recipe_file, tmp_path):
    (tmp_path / "warc").mkdir()
    shutil.copy(sample / "sample-00000.warc.gz", tmp_path / "warc")
    from_inputs(tmp_path / "warc", tmp_path / "first", given)
    wider = changed(recipe_file, "moved", "page: {min_words: 1}")
    (victim,) = (tmp_path / "warc").iterdir()
    victim.write_bytes(victim.read_bytes() + b"\0")
    with pytest.raises(UsageError, match="has changed since it was read"):
        again(tmp_path / "first", tmp_path / "out", wider, reread=True)
    victim.unlink()
    with pytest.raises(UsageError, match="no such file"):
        again(tmp_path / "first", tmp_path / "out", wider, reread=True)
    again(tmp_path / "first", tmp_path / "out", wider)


def test_a_replay_resumes_and_refuses_another_recipe(first, given, recipe_file, tmp_path):
    output = tmp_path / "out"
    again(first, output, given)
    records = {path.name: path.stat().st_mtime_ns for path in (output / "manifest" / "extract").iterdir()}
    (output / "manifest" / "finished.json").unlink()
    again(first, output, given)
    assert {path.name: path.stat().st_mtime_ns for path in (output / "manifest" / "extract").iterdir()} == records
    assert digests(output) == digests(first)
    with pytest.raises(UsageError, match="--restart"):
        again(first, output, given, reread=True)
    with pytest.raises(UsageError, match="--restart"):
        again(first, output, changed(recipe_file, "resumed", "min_language_score: 0.5"))


def test_tables_that_vanish_meanwhile_fail_the_unit(first, given, tmp_path):
    shutil.copytree(first, tmp_path / "first")
    opened = replay.open_replay(tmp_path / "first", given, reread=False)
    (unit_again, *_) = opened.units("print")
    shutil.rmtree(tmp_path / "first" / "work")
    with pytest.raises(WorkError, match="are gone"):
        replay.replay_unit(unit_again, output=tmp_path / "out", recipe=replace(given), replay=opened)


@pytest.mark.parametrize("name", ["fineweb", "c4"])
def test_a_run_decided_again_by_another_preset_publishes_what_that_preset_s_own_run_does(
    name, first, given, sample, tmp_path
):
    preset = replace(recipe.load(name), url=given.url)
    again(first, tmp_path / "again", preset, reread=True)
    from_inputs(sample, tmp_path / "own", preset)
    published = [
        {file: digest for file, digest in digests(output).items() if file.startswith("RefinedWeb")}
        for output in (tmp_path / "again", tmp_path / "own")
    ]
    assert published[0] == published[1] != {}  # what the others met differs: an own run drops other languages earlier
