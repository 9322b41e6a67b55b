"""`falconmix dedup` at the edges, as a user runs it: odd documents, huge ones, and a hundred thousand of one kind."""

import json
import random
import subprocess
import sys
import time

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import recipe
from pipeline.corpus.files import Columns
from pipeline.corpus.run import DedupJob, dedup
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet
from stages import keys
from stages.minhash import NO_KEY

VOCABULARY = [f"w{i}" for i in range(50_000)]
SCRIPTS = {"Chinese": (0x4E00, 0x9FA5, "，"), "Japanese": (0x3041, 0x3096, "、"), "Thai": (0x0E01, 0x0E2E, " ")}
"""First and last letter, and the mark that ends a clause."""


def prose(chance, n_words):
    return " ".join(chance.choices(VOCABULARY, k=n_words))


def clauses(chance, script, n):
    first, last, mark = SCRIPTS[script]
    return mark.join("".join(map(chr, chance.choices(range(first, last), k=8))) for _ in range(n))


def changed(text, at, to):
    return text[:at] + to + text[at + len(to) :]


def deduplicated(folder, texts, language="en"):
    """Statistics, removed rows as (stage, row kept), and the greatest memory of a process of the run, in MB."""
    table = pa.table({"text": pa.array(texts, pa.large_string()), "language": [language] * len(texts)})
    pq.write_table(table, folder / "a.parquet", row_group_size=1000)
    line = [sys.executable, "-m", "falconmix.cli", "dedup", str(folder / "a.parquet"), "--output", str(folder / "out")]
    with (folder / "stats").open("w") as stats, (folder / "said").open("w") as said:
        process = subprocess.Popen([*line, "--workers", "2", "--json"], stdout=stats, stderr=said)
        peak_mb = watched(process)
    assert process.returncode == 0, (folder / "said").read_text()
    removed = pq.read_table(folder / "out/removed/a.parquet.parquet").to_pylist()
    stats = json.loads((folder / "stats").read_text())
    (source,) = stats["inputs"]
    assert source["rows"] == len(texts) == source["written"] + len(removed)
    print(f"{len(texts):,} documents, {sum(map(len, texts)):,} characters: {source['removed']} removed, ", end="")
    print(f"{stats['edges']:,} edges, {stats['cut']:,} pairs cut, peak {peak_mb:,.0f} MB, CPU s {stats['cpu_seconds']}")
    return stats, {row["row"]: (row["stage"], row["kept_row"]) for row in removed}, peak_mb


def watched(process):
    """The peak of the processes below, as the system remembers it."""
    root, peak_kb = psutil.Process(process.pid), 0
    while process.poll() is None:
        for one in [root, *root.children(recursive=True)] if root.is_running() else []:
            try:
                with open(f"/proc/{one.pid}/status") as lines:
                    peak_kb = max([peak_kb, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
            except OSError:
                continue
        time.sleep(0.05)
    return peak_kb / 1024


def test_odd_documents(tmp_path):
    chance = random.Random(1)
    texts, expected = ["", "one", "one", "One", "...", "…", " \n", "\x00", "é", "e\u0301", ""], {}
    expected |= {2: ("exact_dedup", 1), 3: ("minhash", 1), 10: ("exact_dedup", 0)}
    for script, (_, _, mark) in SCRIPTS.items():
        text = clauses(chance, script, 100)
        letter = chr(SCRIPTS[script][0])
        expected |= {len(texts) + 1: ("exact_dedup", len(texts)), len(texts) + 2: ("minhash", len(texts))}
        # A clause without marks in it is one word: with one letter changed, one word of a hundred differs; where there
        # are no marks at all, the only word.
        texts += [text, text, changed(text, 400, letter), clauses(chance, script, 100)]
        texts += [text.replace(mark, ""), changed(text.replace(mark, ""), 400, letter)]
    expected |= {len(texts): ("substrings", None)}  # one word over and over: all but the first is cut
    texts.append("y " * 50_000)
    _, removed, _ = deduplicated(tmp_path, texts)
    assert removed == expected
    kept = [text for row, text in enumerate(texts) if row not in removed]
    assert pq.read_table(tmp_path / "out/documents/a.parquet")["text"].to_pylist() == kept


def test_nothing_but_empty_documents(tmp_path):
    _, removed, _ = deduplicated(tmp_path, ["", "", ""])
    assert removed == {1: ("exact_dedup", 0), 2: ("exact_dedup", 0)}


def test_documents_that_share_all_band_keys_are_told_apart(tmp_path, monkeypatch):
    """Ties of hashes propose pairs and decide nothing."""
    chance = random.Random(2)
    base = prose(chance, 200)
    texts = [prose(chance, 200), base, prose(chance, 150), f"{base} more", prose(chance, 300), f"{base} once more"]
    real = keys.band_keys

    def tied(text, geometry):
        found = real(text, geometry)
        return np.where(found == NO_KEY, found, np.arange(1, found.shape[1] + 1, dtype=np.uint64))

    monkeypatch.setattr(keys, "band_keys", tied)
    pq.write_table(pa.table({"text": [*texts, "", ""]}), tmp_path / "a.parquet")
    job = DedupJob(
        inputs=(str(tmp_path / "a.parquet"),),
        output=tmp_path / "out",
        recipe=recipe.load("refinedweb"),
        columns=Columns(text="text"),
    )
    stats = dedup(job, SerialEngine, Quiet())
    removed = pq.read_table(tmp_path / "out/removed/a.parquet.parquet").to_pylist()
    assert {row["row"]: row["kept_row"] for row in removed if row["stage"] == "minhash"} == {3: 1, 5: 1}
    assert stats["inputs"][0]["removed"] == {"minhash": 2, "exact_dedup": 1}
    assert stats["cut"] == 0


@pytest.mark.slow
def test_documents_of_ten_megabytes(tmp_path):
    chance = random.Random(3)
    words = chance.choices(VOCABULARY, k=1_600_000)
    near = [word if i % 1000 else "changed" for i, word in enumerate(words)]
    far = [word if i % 10 else "changed" for i, word in enumerate(words)]
    texts = [" ".join(words), " ".join(near), "short", " ".join(far), "x" * 10_000_000]
    assert all(len(text) >= 10_000_000 for text in texts if text != "short")
    stats, removed, peak_mb = deduplicated(tmp_path, texts)
    assert removed == {1: ("minhash", 0)}
    assert stats["edges"] == 1
    assert peak_mb < 1500


@pytest.mark.slow
def test_a_hundred_thousand_identical_documents(tmp_path):
    page = prose(random.Random(4), 300)
    stats, removed, peak_mb = deduplicated(tmp_path, [page] * 100_000)
    assert removed == dict.fromkeys(range(1, 100_000), ("exact_dedup", 0))
    assert stats["edges"] == 0
    assert peak_mb < 1500


@pytest.mark.slow
def test_a_hundred_thousand_nearly_identical_documents(tmp_path):
    """One bucket of each band holds nearly all. Each is compared with the earliest, and with no other."""
    page = prose(random.Random(5), 300)
    stats, removed, peak_mb = deduplicated(tmp_path, [f"{page} number {i}" for i in range(100_000)])
    assert removed == dict.fromkeys(range(1, 100_000), ("minhash", 0))
    assert stats["edges"] <= 50 * 100_000
    assert stats["cut"] == 0
    assert peak_mb < 1500


@pytest.mark.slow
def test_a_template_of_which_no_two_pages_are_near_copies(tmp_path):
    """J is .72 between any two: thousands share a bucket and all comparisons fail, so the cap bounds them."""
    chance = random.Random(6)
    template = prose(chance, 252)
    n = 20_000
    stats, removed, peak_mb = deduplicated(tmp_path, [f"{template} {prose(chance, 48)}" for _ in range(n)])
    assert removed == {}
    assert stats["cut"] > 1_000_000
    assert peak_mb < 1500
