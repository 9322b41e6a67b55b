import json
import subprocess
import sys

import pytest

CZECH = "Reka se v noci zvedla a rano uz byla dolni louka pod vodou, takze jsme museli cekat, nez voda zase klesne."
SLOVAK = "Rieka sa v noci zdvihla a ráno už bola dolná lúka pod vodou, takže sme museli čakať, kým voda opäť opadne."
ENGLISH = "The river had risen in the night, and by morning the lower meadow was under water, so we had to wait for it."


def run(repository, *arguments):
    line = [sys.executable, str(repository / "benchmarks" / "langid.py"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=repository)


def test_figures(tmp_path, repository):
    (tmp_path / "cs.tsv").write_text(f"{CZECH}\tcs\nKratce.\tcs\n", encoding="utf-8")
    (tmp_path / "sk.tsv").write_text(f"{SLOVAK}\tsk\n{ENGLISH}\tsk\n", encoding="utf-8")
    (tmp_path / "udhr_paragraphs.tsv").write_text(f"{ENGLISH}\ten\n", encoding="utf-8")
    done = run(repository, "--input", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    figures = json.loads(lines[-1])
    assert (figures["texts"], figures["kept"], figures["plain_kept"]) == (3, 2, 1)
    assert (figures["precision"], figures["recall"]) == (0.5, 1.0)
    assert (figures["plain_precision"], figures["plain_recall"]) == (0.0, 0.0)
    assert figures["udhr"]["words"]["texts"] == figures["udhr"]["plain"]["kept"] == 1
    rows = [line.split() for line in lines]
    assert ["cs", ".", "1", *["."] * 10] in rows
    assert ["sk", "1", *["."] * 10, "1"] in rows


def test_long_texts_are_cut_and_folded(tmp_path, repository):
    row = {"lang": "cs", "text": " ".join([CZECH.replace("Reka", "Řeka")] * 3)}
    (tmp_path / "novel.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    figures = json.loads(run(repository, "--input", tmp_path / "*.jsonl", "--folded", "--json").stdout.splitlines()[-1])
    assert figures["texts"] == 3
    assert figures["recall"] == pytest.approx(1)


def test_nothing_to_read_is_said(tmp_path, repository):
    (tmp_path / "cs.tsv").write_text("Kratce.\tcs\n", encoding="utf-8")
    done = run(repository, "--input", tmp_path)
    assert done.returncode == 1
    assert "no text of 100 characters" in done.stderr
