"""An import from beginning to end, in this process: resume, refusals, sums."""

import functools
import json
from dataclasses import replace

import pytest

from falconmix import import_run
from falconmix.import_run import run_import
from mixtures.sources.job import Sizes, plan_import
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError, WorkError
from pipeline.progress import Quiet
from tests.mixtures.sources.imports import write_lines

KINDS = {"plain": 3, "conversations": 5}


@pytest.fixture
def inputs(tmp_path):
    rows = [
        {"text": f"message {i}", "id": f"m{i}", "parent_id": f"m{i - 1}" if i % 5 else None, "thread_id": f"t{i // 5}"}
        for i in range(40)
    ]
    write_lines(tmp_path / "in" / "a.jsonl", rows[:25])
    return write_lines(tmp_path / "in" / "b.jsonl", rows[25:]).parent


def plan(kind, inputs, output, *settings):
    job = plan_import(kind, [inputs], output, settings=settings)
    return replace(job, sizes=Sizes(part_bytes=1500, n_buckets=16))


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Killed(BaseException):
    """As when the process is killed: nothing may catch it."""


class DyingEngine(SerialEngine):
    """Dies before unit number `at`, counted over all phases, or in the midst of it, its files half written."""

    def __init__(self, at, *, midst):
        super().__init__()
        self._left, self._midst = at, midst

    def run(self, work, units):
        return super().run(functools.partial(self._maybe, work), units)

    def _maybe(self, work, unit):
        if self._left == 0:
            if self._midst:
                work.keywords["root"].joinpath(".part-00000-000.parquet.7.part").write_bytes(b"half")
            raise Killed
        self._left -= 1
        return work(unit)


@pytest.mark.parametrize("midst", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_killed_before_any_unit_it_goes_on_to_the_same_bytes(kind, midst, inputs, tmp_path):
    whole, _ = run_import(plan(kind, inputs, tmp_path / "whole"), SerialEngine, Quiet())
    n_kills = 0
    for at in range(20):
        job = plan(kind, inputs, tmp_path / f"killed-{at}")
        try:
            run_import(job, lambda at=at: DyingEngine(at, midst=midst), Quiet())
            break
        except Killed:
            n_kills += 1
        assert not (job.output / "import.json").exists()
        _, state = run_import(job, SerialEngine, Quiet())
        assert state == "resumed"
        assert files(job.output) == files(tmp_path / "whole")
    assert n_kills >= KINDS[kind]
    assert whole["counts"]["records"] == 40


def test_finished_units_are_not_done_again(inputs, tmp_path):
    job = plan("conversations", inputs, tmp_path / "out")
    done = []

    class Counting(SerialEngine):
        def run(self, work, units):
            units = list(units)
            done.append(units)
            return super().run(work, units)

    with pytest.raises(Killed):
        run_import(job, lambda: DyingEngine(2, midst=False), Quiet())
    run_import(job, Counting, Quiet())
    scattered, joined = done
    assert scattered == list(range(2, len(job.units)))
    assert joined[0] == 0
    assert sorted(path.name for path in job.output.iterdir() if not path.name.startswith("part-")) == ["import.json"]


def test_a_finished_import_does_nothing_and_others_are_refused_by_name(inputs, tmp_path):
    output = tmp_path / "out"
    report, state = run_import(plan("plain", inputs, output), SerialEngine, Quiet())
    assert state == "new"
    before = files(output)

    def no_engine():
        raise AssertionError("an engine was started")

    assert run_import(plan("plain", inputs, output), no_engine, Quiet()) == (report, "finished")
    assert files(output) == before

    def refused(job):
        with pytest.raises(UsageError) as caught:
            run_import(job, no_engine, Quiet())
        assert "give --restart to discard it" in str(caught.value)
        assert files(output) == before
        return str(caught.value)

    assert "another columns.text among its options" in refused(plan("plain", inputs, output, "columns.text=id"))
    assert "another kind of source (plain)" in refused(plan("conversations", inputs, output))
    assert "another n_buckets among its sizes" in refused(replace(plan("plain", inputs, output), sizes=Sizes()))
    write_lines(inputs / "c.jsonl", [{"text": "more"}])
    assert "fewer inputs (without c.jsonl)" in refused(plan("plain", inputs, output))
    (inputs / "c.jsonl").unlink()
    content = (inputs / "b.jsonl").read_text()
    (inputs / "b.jsonl").write_text(content.replace("message 39", "message 93"))
    assert "another content of the input b.jsonl" in refused(plan("plain", inputs, output))
    (inputs / "b.jsonl").unlink()
    assert "another input besides (b.jsonl)" in refused(plan("plain", inputs, output))
    again, state = run_import(plan("plain", inputs, output), SerialEngine, Quiet(), restart=True)
    assert (state, again["counts"]["documents"]) == ("new", 25)


def test_an_unfinished_import_of_other_options_is_refused(inputs, tmp_path):
    with pytest.raises(Killed):
        run_import(plan("plain", inputs, tmp_path / "out"), lambda: DyingEngine(1, midst=False), Quiet())
    with pytest.raises(UsageError, match="another min_chars among its options"):
        run_import(plan("plain", inputs, tmp_path / "out", "min_chars=5"), SerialEngine, Quiet())


def test_a_changed_shard_and_a_foreign_folder_are_refused(inputs, tmp_path):
    job = plan("plain", inputs, tmp_path / "out")
    run_import(job, SerialEngine, Quiet())
    (job.output / "part-00000-000.parquet").write_bytes(b"cut")
    with pytest.raises(UsageError, match=r"part-00000-000.parquet: missing or changed since the import was finished"):
        run_import(job, SerialEngine, Quiet())
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.doc").touch()
    with pytest.raises(UsageError, match=r"not empty and no import of ours \(holds 'thesis.doc'\)"):
        run_import(plan("plain", inputs, tmp_path / "foreign"), SerialEngine, Quiet(), restart=True)
    assert (tmp_path / "foreign" / "thesis.doc").exists()
    for content in ("[]", "{", '{"key": 1}'):
        (tmp_path / "foreign" / "thesis.doc").unlink(missing_ok=True)
        (tmp_path / "foreign" / "import.json").write_text(content)
        with pytest.raises(UsageError, match=r"import.json: not written by `falconmix import`, or damaged"):
            run_import(plan("plain", inputs, tmp_path / "foreign"), SerialEngine, Quiet())


def test_a_damaged_input_costs_itself_only(inputs, tmp_path):
    (inputs / "c.parquet").write_bytes(b"PAR1 and nothing else")
    (inputs / "d.jsonl.gz").write_bytes(b"no gzip")
    report, _ = run_import(plan("plain", inputs, tmp_path / "out"), SerialEngine, Quiet())
    assert (report["counts"]["documents"], report["counts"]["damaged"]) == (40, {"cannot be read further": 2})
    assert [example.split(",")[0] for example in report["counts"]["examples"]] == ["c.parquet", "d.jsonl.gz"]


def test_a_unit_that_fails_is_named_and_the_rest_is_kept(inputs, tmp_path):
    job = plan("plain", inputs, tmp_path / "out")
    content = (inputs / "b.jsonl").read_bytes()
    (inputs / "b.jsonl").unlink()
    with pytest.raises(WorkError, match=r"b\.jsonl: cannot be opened"):
        run_import(job, SerialEngine, Quiet())
    assert list(job.output.glob("part-*"))
    (inputs / "b.jsonl").write_bytes(content)
    report, state = run_import(job, SerialEngine, Quiet())
    assert (state, report["counts"]["documents"]) == ("resumed", 40)


def test_records_that_vanish_between_the_phases_fail_the_run(inputs, tmp_path, monkeypatch):
    job = plan("conversations", inputs, tmp_path / "out")

    def forgetful(number, *, job, ranges):
        names, report = real(number, job=job, ranges=ranges)
        return names, report | {"records": report["records"] - 1}

    real = import_run.import_group
    monkeypatch.setattr(import_run, "import_group", forgetful)
    with pytest.raises(WorkError, match=r"40 records were brought together, 3\d came out"):
        run_import(job, SerialEngine, Quiet())
    assert not (job.output / "import.json").exists()


def test_the_report_holds_what_the_output_depends_on(inputs, tmp_path):
    job = plan("plain", inputs, tmp_path / "out", "licence=CC0")
    run_import(job, SerialEngine, Quiet())
    report = json.loads((job.output / "import.json").read_text())
    assert report["kind"] == "plain"
    assert report["options"]["licence"] == "CC0"
    assert [source["name"] for source in report["inputs"]] == ["a.jsonl", "b.jsonl"]
    assert all(len(source["digest"]) == 32 and source["size"] > 0 for source in report["inputs"])
    assert {"code", "pyarrow", "zstandard"} <= set(report["versions"])
    assert sum(shard["size"] for shard in report["shards"]) == sum(p.stat().st_size for p in job.output.glob("part-*"))
