"""Whole runs over files cut into units: the same bytes as with a unit per file, redone and resumed units included."""

import json
from collections import Counter
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest

from pipeline import block_digest, recipe, unit_chain
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.manifest import Manifest
from pipeline.publish import DAMAGED
from pipeline.recipe import ReaderRecipe
from pipeline.store import Store
from pipeline.unit import PHASE
from tests.pipeline.test_curate import Listening, digests
from tests.pipeline.warc_files import http_block, member, warc_record

UNIT_BYTES = 16 << 10
FALSE_CUTS = "captured.warc.gz"
SAMPLE = "sample-00001.warc.gz"


@pytest.fixture(scope="module")
def settings(recipe_file):
    return recipe.load(str(recipe_file))


@pytest.fixture(scope="module")
def inputs(sample, tmp_path_factory):
    """A file of the sample, and one that holds a stored WARC as a page, which several cuts fall into."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / SAMPLE).write_bytes((sample / SAMPLE).read_bytes())
    article = b"<p>" + b"The old bridge was closed to the traffic of the town for a year. " * 20 + b"</p>"
    inner = b"".join(member(warc_record(f"http://inner.example/{i}", http_block(article)), level=0) for i in range(36))
    plain = [member(warc_record(f"http://outer.example/{i}", http_block(article + b"%d" % i))) for i in range(5)]
    short = member(warc_record("http://outer.example/short", http_block(b"<p>Too short.</p>")))
    captured = member(warc_record("http://outer.example/a.warc.gz", http_block(inner)), level=0)
    assert len(captured) > 3 * UNIT_BYTES
    (folder / FALSE_CUTS).write_bytes(
        b"".join([short, *plain[:2], captured, *plain[2:4], b"garbage" * 9, plain[4], short])
    )
    return folder


def cut(job, unit_bytes, output):
    reader = ReaderRecipe(unit_bytes=unit_bytes)
    return replace(job, output=output, recipe=replace(job.recipe, reader=reader))


def run(job, engine=SerialEngine):
    progress = Listening()
    return curate(job, engine, progress), progress


@pytest.fixture(scope="module")
def job(inputs, settings, tmp_path_factory):
    return CurateJob(inputs=(str(inputs),), output=tmp_path_factory.mktemp("whole"), recipe=settings)


@pytest.fixture(scope="module")
def whole(job):
    return run(job)[0]


@pytest.fixture(scope="module")
def in_units(job, tmp_path_factory):
    """A run in units, and how often the engine was asked for which unit."""
    asked = Counter()

    class Counting(SerialEngine):
        def run(self, work, units):
            units = list(units)
            asked.update(getattr(unit, "name", "") for unit in units)
            return super().run(work, units)

    ranged = cut(job, UNIT_BYTES, tmp_path_factory.mktemp("units") / "out")
    summary, progress = run(ranged, Counting)
    return ranged, summary, progress, asked


def records_of(output):
    """The manifest records of all units."""
    return [json.loads(path.read_text()) for path in (output / "manifest" / PHASE).iterdir()]


def without_cpu(summary):
    """The numbers of a summary but for times."""
    return {name: value for name, value in summary.items() if name not in ("cpu_seconds", "nodes")}


def test_units_change_no_published_byte_and_no_number(job, whole, in_units):
    ranged, summary, _, _ = in_units
    assert digests(ranged.output) == digests(job.output)
    assert len(digests(job.output)) > 15
    assert without_cpu(summary) == without_cpu(whole)
    assert len(records_of(ranged.output)) > 12
    assert len(records_of(job.output)) == 2


def test_the_warning_of_damage_is_one_per_file(in_units):
    _, _, progress, _ = in_units
    assert len([line for line in progress.lines if line.startswith(f"warning: {FALSE_CUTS}")]) == 1


def test_the_digest_of_a_file_does_not_depend_on_the_cuts(job, whole, in_units, inputs):
    def recorded(output):
        return {entry["warc_path"]: entry["full_digest"] for entry in Store(output).read_json("run.json")["inputs"]}

    expected = {path.name: blake2b(path.read_bytes(), digest_size=16).hexdigest() for path in inputs.iterdir()}
    assert recorded(in_units[0].output) == recorded(job.output) == expected


def test_units_behind_a_false_cut_are_redone_and_their_first_tables_removed(in_units):
    ranged, _, _, asked = in_units
    records = records_of(ranged.output)
    left_out = [record for record in records if not record["files"]]
    assert {record["report"]["warc_path"] for record in left_out} == {FALSE_CUTS}
    planned = 4
    assert len(left_out) == planned - 1  # two are passed over altogether, one is redone
    assert sum(record["report"]["warc_path"] == FALSE_CUTS for record in records) == planned + 1
    assert all(asked[record["unit"]] == 1 for record in records)
    tables = {path.stem for path in (ranged.output / "work" / "extracted").iterdir()}
    assert tables == {record["unit"] for record in records if record["files"]}


def test_each_byte_is_in_one_unit(in_units, inputs):
    ranged, _, _, _ = in_units
    records = records_of(ranged.output)
    for path in inputs.iterdir():
        held = [r["report"] for r in records if r["files"] and r["report"]["warc_path"] == path.name]
        held.sort(key=lambda report: report["span"]["end"]["position"])
        begins = [report["span"]["start"]["position"] if report["span"]["start"] else 0 for report in held]
        ends = [report["span"]["end"]["position"] for report in held]
        assert begins == [0, *ends[:-1]]
        assert ends[-1] == path.stat().st_size
        for report, begin, end in zip(held, begins, ends, strict=True):
            assert report["record_bytes"] + report["padding_bytes"] + report["damaged_bytes"] == end - begin


def test_a_run_goes_on_after_an_interruption_between_units(job, whole, in_units, tmp_path):
    class Stopped(SerialEngine):
        left = 9

        def run(self, work, units):
            for outcome in super().run(work, units):
                yield outcome
                type(self).left -= 1
                if not type(self).left:
                    raise KeyboardInterrupt

    ranged = cut(job, UNIT_BYTES, tmp_path / "out")
    total = len(records_of(in_units[0].output))
    for left in (4, total - 5):  # the second before the last of the units that are redone
        Stopped.left = left
        with pytest.raises(KeyboardInterrupt):
            run(ranged, Stopped)
    folder = ranged.output / "manifest" / PHASE
    early = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(early) == total - 1
    run(ranged)
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    changed = {name for name in early if after[name] != early[name]}
    assert all(not json.loads((folder / name).read_text())["files"] for name in changed)
    assert digests(ranged.output) == digests(job.output)


def test_units_are_decided_again_as_whole_files_are(job, whole, in_units, recipe_file, tmp_path):
    """By another recipe, under which pages that were dropped before extraction are read again, each in its unit."""
    wider = recipe_file.parent / "wider_units.yaml"
    wider.write_text("extends: recipe.yaml\nname: wider\npage: {min_words: 1}\nurl: {rules: {blocked: false}}\n")
    for first in (job, in_units[0]):
        again = CurateJob(
            inputs=(),
            output=tmp_path / first.output.name,
            recipe=recipe.load(str(wider)),
            replay=first.output,
            reread=True,
        )
        run(again)
    a, b = (tmp_path / first.output.name for first in (job, in_units[0]))
    assert digests(a) == digests(b) != digests(job.output)
    read = [Store(output).read_json("run.json")["inputs"] for output in (a, b, job.output)]
    assert [entry["full_digest"] for entry in read[0]] == [entry["full_digest"] for entry in read[1]]
    assert [entry["full_digest"] for entry in read[0]] == [entry["full_digest"] for entry in read[2]]


def test_a_run_with_more_inputs_redoes_no_unit(in_units, inputs, tmp_path):
    ranged, _, _, _ = in_units
    more = tmp_path / "more.warc.gz"
    more.write_bytes(member(warc_record("http://more.example/", http_block(b"<p>more</p>"))))
    folder = ranged.output / "manifest" / PHASE
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    asked = []

    class Counting(SerialEngine):
        def run(self, work, units):
            units = list(units)
            asked.append(units)
            return super().run(work, units)

    run(replace(ranged, inputs=(*ranged.inputs, str(more))), Counting)
    assert [unit.input.warc_path for unit in asked[0]] == ["more.warc.gz"]
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert before.items() <= after.items()


CORRUPT = (
    "bitflip_middle.warc.gz",
    "crc_mismatch.warc.gz",
    "garbage_between.warc.gz",
    "garbage_fake_magic.warc.gz",
    "head_cut.warc.gz",
    "single_member_truncated.warc.gz",
    "truncated_in_gzip_header.warc.gz",
    "wrong_content_length.warc.gz",
    "zero_block.warc.gz",
)


def test_damaged_files_in_units(shared_data, settings, tmp_path):
    """The same rows and damage, warcinfo's `isPartOf` included; every file is read in ranges in `test_unit_range`."""
    inputs = tuple(str(shared_data / "corrupt" / "derived" / name) for name in CORRUPT)
    job = CurateJob(inputs=inputs, output=tmp_path / "whole", recipe=settings)
    expected, _ = run(job)
    ranged = cut(job, 20_000, tmp_path / "units")
    summary, _ = run(ranged)
    assert without_cpu(summary) == without_cpu(expected)
    assert digests(ranged.output) == digests(job.output)
    assert Store(ranged.output).exists(DAMAGED)
    assert summary["totals"]["damaged_ranges"] >= len(CORRUPT)
    assert len(records_of(ranged.output)) > 25


def test_reports_of_units_add_up():
    first = {"warc_path": "a", "size": 5, "first_damage": None, "single_stream": False, "counts": {"response": 1}}
    second = {"warc_path": "a", "size": 7, "first_damage": "x", "single_stream": True, "counts": {"request": 2}}
    lines = [{"lines": {"en": {"counter": 1}}}, {"lines": {"en": {"counter": 2, "digits": 1}, "de": {"counter": 5}}}]
    total = unit_chain.add_reports([first | lines[0] | {"blocks": []}, second | lines[1] | {"span": {}}])
    assert total == {
        "warc_path": "a",
        "size": 12,
        "first_damage": "x",
        "single_stream": True,
        "counts": {"response": 1, "request": 2},
        "lines": {"en": {"counter": 3, "digits": 1}, "de": {"counter": 5}},
    }


def test_small_files_and_those_without_members_are_one_unit(inputs, settings, tmp_path):
    from pipeline.inputs import resolve

    (tmp_path / "plain.warc").write_bytes(warc_record("http://a.example/", http_block(b"x" * 9000)) * 9)
    (tmp_path / "small.warc.gz").write_bytes(member(warc_record("http://a.example/", http_block(b"x"))))
    (tmp_path / "single.warc.gz").write_bytes(member(warc_record("http://a.example/", http_block(b"x")) * 900))
    (tmp_path / "empty.warc.gz").touch()
    for source in resolve([str(tmp_path)]):
        (only,) = unit_chain.units_of(source, "print", 1024, settings.reader)
        assert (only.begin, only.end) == (0, None)


@pytest.mark.parametrize("unit_bytes", [7, 10, 16, 33, 1000])
def test_blocks_are_digested_once_wherever_the_units_begin(tmp_path, monkeypatch, unit_bytes):
    monkeypatch.setattr(block_digest, "BLOCK_BYTES", 16)
    data = bytes(range(200)) + b"end"
    path = Path(tmp_path / "file")
    path.write_bytes(data)
    blocks = []
    for begin in range(0, len(data), unit_bytes):
        with path.open("rb") as raw:
            raw.seek(begin)
            stream = block_digest.DigestingReader(raw, begin, min(begin + unit_bytes, len(data)))
            stream.skip_to(begin + 3)
            stream.read(11)
            blocks += stream.finish()
    assert blocks == [blake2b(data[at : at + 16], digest_size=16).hexdigest() for at in range(0, len(data), 16)]
    whole = b"".join(blake2b(data[at : at + 16], digest_size=16).digest() for at in range(0, len(data), 16))
    assert block_digest.file_digest_of(blocks) == blake2b(whole, digest_size=16).hexdigest()


def test_the_digest_of_one_block_and_of_none_is_the_plain_one():
    one = blake2b(b"abc", digest_size=16).hexdigest()
    assert block_digest.file_digest_of([one]) == one
    assert block_digest.file_digest_of([]) == blake2b(b"", digest_size=16).hexdigest()


def test_a_unit_that_was_left_out_counts_as_done(in_units):
    ranged, _, _, _ = in_units
    store = Store(ranged.output)
    manifest = Manifest(store, PHASE)
    for record in records_of(ranged.output):
        assert manifest.done(record["unit"], record["key"]) == record
