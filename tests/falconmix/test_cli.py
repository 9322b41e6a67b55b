"""The command line of the curation arm: exit codes, and one clear line for what is wrong. Ray is not started here."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from falconmix import cli, curation
from pipeline import recipe
from pipeline.corpus.files import Columns
from pipeline.corpus.run import DedupJob, dedup
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet
from pipeline.run import FINISHED

PAGE = "https://podhorske-noviny.example/svickova-podle-me-tety"


@pytest.fixture(scope="module")
def finished(curated_file, tmp_path_factory):
    """A run of our own: the last test frees its work."""
    return shutil.copytree(curated_file, tmp_path_factory.mktemp("finished") / "out")


def commands():
    return next(iter(cli.parser()._subparsers._group_actions)).choices


@pytest.mark.parametrize("command", commands())
def test_help_has_an_example(falconmix, command):
    code, out, _ = falconmix(command, "--help")
    assert code == 0
    assert f"example:\n  falconmix {command} " in out or out.rstrip().endswith(f"falconmix {command}")


USAGE = [
    (["curate", "gone.warc.gz", "--output", "out"], "gone.warc.gz: no such file or folder"),
    (["curate", "empty", "--output", "out"], "empty: no WARC file below this folder"),
    (["curate", "a" * 300, "--output", "out"], "cannot be read (File name too long)"),
    (["curate", "some.warc", "--output", "out", "--recipe", "nope"], "no such recipe; choose one of c4, fineweb"),
    (["curate", "some.warc", "--output", "out", "--recipe", "bad.yaml"], "unknown key 'languagess'"),
    (["curate", "some.warc", "--output", "out", "--language", "xx"], "languages: 'xx' given; choose among"),
    (["curate", "some.warc", "--output", "out", "--workers", "0"], "'0' is not a whole number, 1 or more"),
    (["curate", "some.warc", "--output", "out", "--workers", "x"], "'x' is not a whole number, 1 or more"),
    (["curate", "some.warc", "--output", "some.warc"], "cannot be written to (File exists); choose another folder"),
    (["curate", "some.warc", "--output", "some.warc/x"], "cannot be written to (Not a directory)"),
    (["curate", "some.warc", "--output", "foreign"], "not empty and no run of ours (holds 'notes.txt')"),
    (["curate", "some.warc", "--output", "foreign", "--restart"], "not empty and no run of ours (holds 'notes.txt')"),
    (["curate", "some.warc"], "--output"),
    (["report", "gone"], "gone: no finished run here; give the folder"),
    (["report", "foreign"], "foreign: no finished run here; give the folder"),
    (["why", "foreign", PAGE], "foreign: no finished run here; give the folder"),
    (["clean", "foreign"], "foreign: no finished run here; give the folder"),
    (["nope"], "invalid choice: 'nope'"),
]


@pytest.mark.parametrize(("line", "said"), USAGE)
def test_wrong_usage_exits_2_says_what_and_does_nothing(falconmix, tmp_path, monkeypatch, line, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "notes.txt").write_text("precious")
    (tmp_path / "some.warc").write_bytes(b"")
    (tmp_path / "bad.yaml").write_text("extends: refinedweb\nlanguagess: [en]\n")
    code, out, err = falconmix(*line)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert err.count("\n") == 1 or err.startswith("usage:")
    assert (tmp_path / "foreign" / "notes.txt").read_text() == "precious"
    assert not (tmp_path / "out").exists()


def test_why_speaks_json_on_stdout_alone(falconmix, finished):
    code, out, err = falconmix("why", finished, PAGE, "--json")
    (entry,) = json.loads(out)
    assert (code, err) == (0, "")
    assert (entry["url"], entry["outcome"], entry["language"]) == (PAGE, "published", "cs")
    assert entry["warc_path"] == "sample-00000.warc.gz"


@pytest.mark.parametrize("spelling", ["HTTPS://Podhorske-Noviny.example:443/svickova-podle-me-tety#top", "id"])
def test_why_takes_any_spelling_and_ids(falconmix, finished, spelling):
    (entry,) = json.loads(falconmix("why", finished, PAGE, "--json")[1])
    code, out, _ = falconmix("why", finished, entry["id"] if spelling == "id" else spelling)
    assert code == 0
    assert out.startswith(f"{PAGE}\n  capture   sample-00000.warc.gz @ {entry['warc_offset']}\n")


@pytest.mark.parametrize("page", ["https://nothing.example/", "", "http://[::1", "x\udcff", "0" * 32, "a" * 100_000])
def test_why_exits_1_for_a_page_of_no_input(falconmix, finished, page):
    code, out, err = falconmix("why", finished, page, "--json")
    assert (code, json.loads(out)) == (1, [])
    assert err.endswith(": in no input of this run\n")


def test_why_does_not_speak_of_a_run_that_is_being_extended(falconmix, finished):
    aside = (finished / FINISHED).rename(finished / "manifest" / "aside")
    try:
        assert falconmix("why", finished, PAGE)[0] == 2
    finally:
        aside.rename(finished / FINISHED)


def test_report_rebuilds_the_page_and_prints_the_funnel(falconmix, finished):
    (finished / "report" / "index.html").unlink()
    code, out, _ = falconmix("report", finished)
    assert code == 0
    totals = json.loads((finished / "report" / "stats.json").read_text())["totals"]
    assert f"{totals['captures']} pages = {totals['published']} published + {totals['rejected']} rejected" in out
    assert (finished / "report" / "index.html").read_text().startswith("<!doctype html>")
    code, out, err = falconmix("report", finished, "--json")
    assert (code, json.loads(out)["totals"]["captures"], err) == (0, totals["captures"], "")


class Ascii(io.TextIOWrapper):
    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii", write_through=True)

    @property
    def text(self):
        return self.buffer.getvalue().decode("ascii")


def test_a_terminal_that_knows_ascii_alone_is_enough(falconmix, finished, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Ascii())
    assert falconmix("why", finished, PAGE)[0] == 0
    assert "\n  passed" not in sys.stdout.text
    monkeypatch.setattr(sys, "stdout", Ascii())
    assert falconmix("why", finished, PAGE, "--json")[0] == 0
    assert json.loads(sys.stdout.text)[0]["text"].startswith("Svíčková")


@pytest.mark.parametrize(("command", "code"), [(["report"], 0), (["why", PAGE], 0)])
def test_a_reader_that_goes_away_is_no_failure(finished, command, code):
    line = [sys.executable, "-m", "falconmix.cli", command[0], str(finished), *command[1:]]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(line, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(signal.SIGTERM)])
def test_an_end_from_outside_exits_130_and_says_how_to_go_on(falconmix, finished, monkeypatch, end):
    def stopped(options):
        raise end

    monkeypatch.setattr(curation, "_report", stopped)
    code, out, err = falconmix("report", finished)
    assert (code, out) == (130, "")
    assert err == "falconmix report: interrupted; run the same command again to go on\n"


@pytest.mark.parametrize("after", ["nothing more", "an error"])
def test_an_interrupt_that_a_library_swallowed_still_stops_the_run(
    falconmix, sample, recipe_file, tmp_path, monkeypatch, after
):
    def swallowing(*_):
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the signal was not heard")
        if after == "an error":
            raise RuntimeError("no compiled object yet")

    output = tmp_path / "out"
    line = ["curate", sample / "sample-00000.warc.gz", "--output", output, "--recipe", recipe_file]
    monkeypatch.setattr("pipeline.curate.compile_block_table", swallowing)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    code, out, err = falconmix(*line)
    signal.signal(signal.SIGINT, before)
    assert (code, out) == (130, "")
    assert err == "falconmix curate: interrupted; run the same command again to go on\n"
    assert (output / "run.json").exists()
    assert not (output / ".lock").exists()
    assert not (output / "manifest" / "extract").exists()


def test_a_full_disk_is_named_with_the_file_and_the_mend(falconmix, finished, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = (finished / "report" / "stats.json").read_bytes()
    monkeypatch.setattr("os.fsync", full)
    code, _, err = falconmix("report", finished)
    assert code == 1
    assert f"the disk is full while writing {finished / 'report' / 'index.html'}; free some space and run" in err
    assert (finished / "report" / "stats.json").read_bytes() == before


def test_what_nobody_foresaw_shows_its_traceback_with_debug_alone(falconmix, finished, monkeypatch):
    def broken(*_):
        raise RuntimeError("odd")

    monkeypatch.setattr("pipeline.summary.write_report", broken)
    code, _, err = falconmix("report", finished)
    assert (code, err.splitlines()[0]) == (1, "falconmix report: unexpected RuntimeError: odd")
    with pytest.raises(RuntimeError, match="odd"):
        falconmix("report", finished, "--debug")


def test_clean_frees_the_work_and_keeps_what_is_published(falconmix, finished):
    code, out, _ = falconmix("clean", finished)
    assert code == 0
    assert "MB freed; adding inputs later extracts all of them again" in out
    assert not (finished / "work").exists()
    assert falconmix("why", finished, PAGE)[0] == 0


def test_report_and_why_know_a_run_of_dedup(falconmix, tmp_path):
    rows = [{"text": text} for text in ("one text of some words", "another text", "one text of some words")]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    job = DedupJob(inputs=(str(file),), output=out, recipe=recipe.load("refinedweb"), columns=Columns(text="text"))
    dedup(job, SerialEngine, Quiet())
    page = out / "report" / "index.html"
    page.unlink()
    code, told, _ = falconmix("report", out)
    assert code == 0
    assert "exact_dedup               2 left             1 removed" in told
    assert "3 rows in" in page.read_text().replace("</b>", "").replace("<b>", "")
    code, told, _ = falconmix("why", out, "rows.jsonl:2")
    assert code == 0
    assert "removed   by exact_dedup: same_text" in told
    assert falconmix("why", out, "rows.jsonl:3")[0] == 1
    assert falconmix("why", out, "https://example.org/")[0] == 2
