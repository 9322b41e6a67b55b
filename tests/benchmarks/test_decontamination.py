import json
import subprocess
import sys

import pytest

from mixtures.tokenizer import train_bpe

WORDS = ["river", "Überfahrt", "meadow,", "naïve", "—", "harbour", "świt", "lantern."]


def run(repository, *arguments):
    line = [sys.executable, str(repository / "benchmarks" / "decontamination.py"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=repository)


def test_both_sides_find_the_same(tmp_path, repository):
    text = " ".join(f"{WORDS[i % 8]} {i * i % 97}" for i in range(400))
    (tmp_path / "novel.jsonl").write_text(json.dumps({"text": text}) + "\n", encoding="utf-8")
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text(train_bpe([text], 300), encoding="utf-8")
    line = ("--tokenizer", tokenizer, "--words", 80, "--leak", 5, "--items", 20, "--rounds", 1, "--json")
    done = run(repository, "--input", tmp_path, *line)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["documents"], figures["items"]) == (10, 22)
    assert figures["contaminated"] >= 2 and figures["hits"] >= 2 * 20
    assert figures["us_per_document"] * figures["ratio"] == pytest.approx(figures["plain_us_per_document"])


def test_nothing_to_read_is_said(tmp_path, repository):
    (tmp_path / "novel.jsonl").write_text('{"text": "short"}\n', encoding="utf-8")
    done = run(repository, "--input", tmp_path, "--tokenizer", "none.json")
    assert done.returncode == 1
    assert "no document of 500 words" in done.stderr
