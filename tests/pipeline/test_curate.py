"""A whole run on the project's sample, in this process; what needs several processes is in test_curate_runs.py."""

import json
from collections import Counter
from dataclasses import replace
from html import escape

import pyarrow.parquet as pq
import pytest

from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError, WorkError
from pipeline.progress import Quiet
from pipeline.publish import DAMAGED
from pipeline.run import clean
from pipeline.store import Store
from pipeline.why import why
from stages import schema
from stages.cascade import TAKEDOWN, UNDECIDED

DIGESTED = ("RefinedWeb-English", "RefinedWeb-Europe", "rejected", "quarantine", "dedup")
"""What invariant 2 names."""


class Listening(Quiet):
    def __init__(self):
        self.lines = []
        self.funnel = Counter()

    def say(self, line):
        self.lines.append(line)

    def advance(self, funnel):
        self.funnel.update(funnel)


def digests(output):
    store = Store(output)
    return {name: store.digest(name) for folder in DIGESTED for name in store.names(folder)}


def run(job, progress=None):
    return curate(job, SerialEngine, progress or Listening())


@pytest.fixture(scope="session")
def test_recipe(recipe_file):
    return recipe.load(str(recipe_file))


@pytest.fixture(scope="session")
def job(sample, test_recipe, tmp_path_factory):
    return CurateJob(inputs=(str(sample),), output=tmp_path_factory.mktemp("out"), recipe=test_recipe)


@pytest.fixture(scope="session")
def finished(job):
    progress = Listening()
    return run(job, progress), progress


@pytest.fixture(scope="session")
def captures(sample):
    return json.loads((sample / "captures.json").read_text())


def test_invariant_1_both_sums_hold_per_file_and_in_total(finished):
    summary, _ = finished
    assert len(summary["inputs"]) == 3
    for source in summary["inputs"]:
        assert source["size"] == source["records"] + source["padding"] + source["damaged"]
        assert source["captures"] == source["published"] + source["rejected"]
    totals = summary["totals"]
    assert totals["bytes"] == totals["record_bytes"] + totals["padding_bytes"] + totals["damaged_bytes"]
    assert totals["captures"] == totals["published"] + totals["rejected"] == 189
    assert totals["other_records"]["revisit"] == 1
    assert summary["funnel"][0]["in"] == 189
    assert summary["funnel"][-1]["out"] == totals["published"]
    assert all(step["in"] - step["out"] == sum(step["rules"].values()) for step in summary["funnel"])


def test_every_capture_of_the_sample_is_found_by_its_url(finished, job, captures):
    for capture in captures:
        found = [entry["warc_offset"] for entry in why(job.output, capture["url"])]
        assert (capture["offset"] in found) == (capture["kind"] != "revisit"), capture


def test_what_a_crawl_holds_meets_its_rule(finished, job, captures):
    expected = {
        "listed_domain": ("url_filter", "blocked_domain"),
        "redirect": ("capture", "http_status"),
        "pdf": ("capture", "content_type"),
        "truncated": ("capture", "truncated"),
        "spam": ("repetition", None),
        "repeated_lines": ("repetition", "duplicate_lines"),
        "exact_copy": ("exact_dedup", "same_text"),
        "recapture": ("url_dedup", "same_url"),
        "nested": ("limits", "depth"),
        "bare_tiny": ("visible", "too_few_words"),
        "bare_foreign": ("early_language", "no_wanted_language"),
        "no_content": ("extract", "no_text"),
        "opted_out": ("opt_out_filter", "noai"),
        "furniture": ("line_corrections", "corrected_words"),
    }
    seen = Counter()
    for capture in captures:
        if capture["kind"] in expected:
            stage, rule = expected[capture["kind"]]
            (entry,) = [e for e in why(job.output, capture["url"]) if e["warc_offset"] == capture["offset"]]
            if entry["outcome"] == "published":  # of several copies any may be the first
                assert capture["kind"] in ("exact_copy", "recapture")
                continue
            assert entry["stage"] == stage, capture
            assert rule in (None, entry["rule"]), capture
            seen[capture["kind"]] += 1
    assert set(seen) == set(expected)


def test_every_step_of_the_funnel_has_something_to_drop_and_to_keep(finished):
    summary, _ = finished
    for step in summary["funnel"]:
        assert 0 < step["out"] < step["in"] or step["stage"] == "same_record"


def test_all_eleven_languages_are_published_and_articles_kept(finished):
    summary, _ = finished
    published = {name: row["published"] for name, row in summary["by_language"].items() if row["published"]}
    assert set(published) == set(summary["languages"])
    assert min(published.values()) >= 8


def test_errors_stay_below_half_a_percent(finished):
    summary, _ = finished
    errors = sum(n for step in summary["funnel"] for rule, n in step["rules"].items() if rule.startswith("error:"))
    assert errors < 0.005 * summary["totals"]["captures"]


def test_tables_have_the_declared_schema_and_are_ordered_by_id(finished, job):
    store = Store(job.output)
    for folder, declared in (("RefinedWeb-English", schema.DOCUMENT), ("RefinedWeb-Europe", schema.DOCUMENT)):
        for name in store.names(folder):
            table = pq.read_table(store.path(name), partitioning=None)
            schema.check(table, declared)
            assert table.schema.field("n_words").metadata[b"unit"] == b"word"
            assert table["id"].to_pylist() == sorted(table["id"].to_pylist())
    for name in store.names("rejected"):
        table = pq.read_table(store.path(name), partitioning=None)
        schema.check(table, schema.REJECT)
        assert table.num_rows
        assert max(map(len, table["text"].to_pylist())) <= schema.REJECT_TEXT_CHARS
    assert pq.read_table(store.path("rejected"))["stage"].null_count == 0  # as pandas reads a folder


def test_rejects_of_the_text_stages_keep_all_signals(finished, job):
    table = pq.read_table(Store(job.output).path("rejected/stage=repetition"), partitioning=None)
    assert table["n_words"].null_count == table["dup_10gram_char_share"].null_count == 0


def test_invariant_5_each_cluster_publishes_its_earliest(finished, job):
    store = Store(job.output)
    clusters = pq.read_table(store.path("dedup/clusters.parquet")).to_pylist()
    documents = {}
    for folder in ("RefinedWeb-English", "RefinedWeb-Europe"):
        for name in store.names(folder):
            documents |= {row["id"]: row for row in pq.read_table(store.path(name), partitioning=None).to_pylist()}
    assert clusters
    members = Counter(row["cluster_id"] for row in clusters)
    for row in clusters:
        assert row["similarity"] >= 0.75
        assert row["cluster_size"] == members[row["cluster_id"]] >= 2
        assert row["representative_id"] == row["cluster_id"]
        assert (row["id"] in documents) == (row["id"] == row["representative_id"])
        assert documents[row["representative_id"]]["cluster_size"] == row["cluster_size"]
    assert sum(row["cluster_size"] > 1 for row in documents.values()) == len(members)
    sizes = store.read_json("report/stats.json")["histograms"]["cluster_size"]
    assert sizes == {str(size): n for size, n in Counter(row["cluster_size"] for row in documents.values()).items()}
    near = pq.read_table(store.path("rejected/stage=minhash"), partitioning=None).to_pylist()
    representative = {row["id"]: row["representative_id"] for row in clusters}
    assert all(row["detail"] == representative[row["id"]] and row["value"] >= row["threshold"] for row in near)


def test_what_deduplication_shows_adds_up_to_the_funnel(finished, job):
    stats = Store(job.output).read_json("report/stats.json")
    shown, clusters = stats["deduplication"], stats["histograms"]["cluster_size"]
    removed = {step["stage"]: step["in"] - step["out"] for step in stats["funnel"]}
    for step in shown["steps"]:
        assert sum(row["removed"][step] for row in shown["removal"]["language"]) == removed[step]
    assert sum(shown["similarity"]["counts"]["edges"]) == stats["near_duplicates"]["edges"] > 0
    assert shown["cluster_size"] == {size: n for size, n in clusters.items() if size != "1"}
    assert sum(row["n_cuts"] for row in shown["top_passages"]) <= stats["passages"]["spans"]
    page = Store(job.output).path("report/index.html").read_text(encoding="utf-8")
    assert all(escape(row["url"]) in page for row in shown["top_clusters"])


def test_invariant_6_a_document_leads_back_to_its_bytes(finished, job, sample):
    store = Store(job.output)
    row = pq.read_table(store.path(store.names("RefinedWeb-English")[0]), partitioning=None).slice(0, 1).to_pylist()[0]
    run_json = store.read_json("run.json")
    path = next(source["path"] for source in run_json["inputs"] if source["warc_path"] == row["warc_path"])
    with open(path, "rb") as stream:
        stream.seek(row["warc_offset"])
        member = stream.read(row["warc_length"])
    import zlib

    inflater = zlib.decompressobj(31)
    record = inflater.decompress(member)
    assert inflater.eof
    assert not inflater.unused_data
    assert row["url"].encode() in record.split(b"\r\n\r\n")[0]


def test_the_damaged_member_is_in_quarantine_and_warned_of(finished, job, captures):
    _, progress = finished
    (row,) = pq.read_table(Store(job.output).path(DAMAGED), partitioning=None).to_pylist()
    (damaged,) = [capture for capture in captures if capture["kind"] == "damaged"]
    assert (row["start"], row["end"]) == (damaged["offset"], damaged["offset"] + damaged["length"])
    assert any(line.startswith(f"warning: {row['warc_path']}") for line in progress.lines)
    (entry,) = [e for e in why(job.output, damaged["url"]) if e["outcome"] == "quarantined"]
    assert entry["rule"] == row["reason"]


def test_strict_fails_for_damage_after_all_work_is_done(finished, job):
    with pytest.raises(WorkError, match="1 damaged range"):
        run(replace(job, strict=True))


def test_a_finished_run_does_nothing(finished, job):
    before = {path: path.stat().st_mtime_ns for path in job.output.rglob("*") if path.is_file()}
    progress = Listening()
    assert run(job, progress) == finished[0]
    assert progress.lines == [f"{job.output}: this run is finished; nothing to do"]
    assert {path: path.stat().st_mtime_ns for path in job.output.rglob("*") if path.is_file()} == before


def test_why_finds_an_id_and_any_spelling_of_a_url(finished, job):
    store = Store(job.output)
    row = pq.read_table(store.path(store.names("RefinedWeb-Europe")[0]), partitioning=None).slice(0, 1).to_pylist()[0]
    assert row["warc_offset"] in [entry["warc_offset"] for entry in why(job.output, row["id"])]
    spelling = row["url"].replace("https://", "HTTPS://").replace("http://", "HTTP://") + "#part"
    assert why(job.output, spelling) == why(job.output, row["url"])
    assert why(job.output, "https://nowhere.example/") == []
    assert why(job.output, "0" * 32) == []


def test_more_inputs_reuse_what_was_extracted_and_give_the_same_as_one_run(finished, job, sample, tmp_path):
    files = sorted(str(path) for path in sample.glob("*.warc.gz"))
    growing = replace(job, inputs=tuple(files[:2]), output=tmp_path / "growing")
    run(growing)
    records = {path.name: path.stat().st_mtime_ns for path in (growing.output / "manifest/extract").iterdir()}
    run(replace(growing, inputs=tuple(reversed(files))))
    after = {path.name: path.stat().st_mtime_ns for path in (growing.output / "manifest/extract").iterdir()}
    assert records.items() <= after.items()
    assert len(after) == 3
    assert digests(growing.output) == digests(job.output)


def test_fewer_or_changed_inputs_and_other_recipes_are_refused_by_name(finished, job, sample, test_recipe):
    before = digests(job.output)
    files = sorted(str(path) for path in sample.glob("*.warc.gz"))
    with pytest.raises(UsageError, match="sample-00002.warc.gz: is no longer among the inputs.*--restart"):
        run(replace(job, inputs=tuple(files[:2])))
    with pytest.raises(UsageError, match="another recipe or version.*--restart"):
        run(replace(job, recipe=replace(test_recipe, min_language_score=0.5)))
    assert digests(job.output) == before


def test_a_changed_input_is_refused_and_restart_begins_anew(sample, test_recipe, tmp_path):
    source = tmp_path / "one.warc.gz"
    source.write_bytes((sample / "sample-00000.warc.gz").read_bytes()[:4000])
    job = CurateJob(inputs=(str(source),), output=tmp_path / "out", recipe=test_recipe)
    run(job)
    source.write_bytes((sample / "sample-00000.warc.gz").read_bytes()[:8000])
    with pytest.raises(UsageError, match="one.warc.gz: has changed"):
        run(job)
    assert run(replace(job, restart=True))["totals"]["bytes"] == 8000


def test_a_folder_that_is_not_ours_is_left_alone(sample, test_recipe, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="not empty.*'work'"):
        run(CurateJob(inputs=(str(sample),), output=tmp_path, recipe=test_recipe, restart=True))
    assert (tmp_path / "work" / "thesis.tex").read_text() == "precious"


def test_foreign_and_empty_files_are_warned_of_and_cost_nothing(sample, test_recipe, tmp_path):
    (tmp_path / "empty.warc.gz").touch()
    (tmp_path / "page.warc.gz").write_text("<html>not a WARC</html>")
    progress = Listening()
    inputs = (str(sample / "sample-00000.warc.gz"), str(tmp_path / "empty.warc.gz"), str(tmp_path / "page.warc.gz"))
    summary = run(CurateJob(inputs=inputs, output=tmp_path / "out", recipe=test_recipe), progress)
    assert summary["totals"]["published"] > 0
    warned = sorted(line.split(":")[1].strip() for line in progress.lines if line.startswith("warning"))
    assert warned[:2] == ["empty.warc.gz", "page.warc.gz"]


def test_an_input_without_any_page_is_a_run_without_documents(test_recipe, tmp_path):
    (tmp_path / "empty.warc.gz").touch()
    job = CurateJob(inputs=(str(tmp_path / "empty.warc.gz"),), output=tmp_path / "out", recipe=test_recipe)
    assert run(job)["totals"]["captures"] == 0
    assert why(job.output, "https://example.org/") == []


def test_the_same_file_twice_under_two_names_is_rejected_as_the_same_records(sample, test_recipe, tmp_path):
    for name in ("a.warc.gz", "b.warc.gz"):
        (tmp_path / name).write_bytes((sample / "sample-00001.warc.gz").read_bytes())
    job = CurateJob(inputs=(str(tmp_path),), output=tmp_path / "out", recipe=test_recipe)
    summary = run(job)
    a, b = summary["inputs"]
    assert b["published"] == 0
    assert summary["funnel"][0] == {
        "stage": "same_record",
        "in": 2 * a["captures"],
        "out": a["captures"],
        "rules": {"same_record": a["captures"]},
    }


def test_clean_frees_work_and_keeps_what_is_published(finished, job, sample, test_recipe, tmp_path):
    small = replace(job, inputs=(str(sample / "sample-00000.warc.gz"),), output=tmp_path / "out")
    with pytest.raises(UsageError, match="no finished run"):
        clean(small.output)
    run(small)
    before = digests(small.output)
    assert clean(small.output) > 0
    assert not (small.output / "work").exists()
    assert digests(small.output) == before
    assert run(small, progress := Listening())["totals"]
    assert progress.lines == [f"{small.output}: this run is finished; nothing to do"]
    run(replace(small, inputs=(*small.inputs, str(sample / "sample-00001.warc.gz"))), progress := Listening())
    assert any("extraction is done again" in line for line in progress.lines)


@pytest.mark.parametrize("name", ["fineweb", "c4"])
def test_a_preset_shows_the_steps_that_it_has(name, sample, tmp_path):
    preset = replace(recipe.load(name), url=recipe.UrlRecipe(block_lists=()))
    summary = run(CurateJob(inputs=(str(sample),), output=tmp_path / "out", recipe=preset))
    steps = [step for step in preset.steps if step not in (TAKEDOWN, UNDECIDED)]
    assert [step["stage"] for step in summary["funnel"]] == steps
    rules = {step["stage"]: step["rules"] for step in summary["funnel"]}
    assert rules["c4"]
    assert [folder["name"] for folder in summary["datasets"]] == ["RefinedWeb-English"]
    shard = next(name for name in Store(tmp_path / "out").names("RefinedWeb-English"))
    document = pq.read_table(tmp_path / "out" / shard).to_pylist()[0]
    (entry,) = why(tmp_path / "out", document["id"])
    assert (entry["outcome"], entry["passed"]) == ("published", steps)
    assert "{" not in document["text"]
