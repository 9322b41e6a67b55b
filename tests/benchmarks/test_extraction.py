import importlib.util
import json
import subprocess
import sys

import pytest


def test_figures_of_each_extractor(sample, repository, tmp_path):
    gold = tmp_path / "gold.jsonl"
    gold.write_text(json.dumps({"url": "http://nowhere.example.org/", "gold": "a b c d"}) + "\n")
    line = [sys.executable, "benchmarks/extraction.py", "--input", str(sample / "*.warc.gz"), "--gold", str(gold)]
    done = subprocess.run(
        [*line, "--json", "--sample", "4"], capture_output=True, text=True, check=False, cwd=repository
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["pages"] > 10
    assert figures["gold_pages"] == 0
    assert list(figures["extractors"]) == ["plain trafilatura", "ours", "resiliparse"]
    assert figures["extractors"]["ours"]["same"] == 1.0
    assert figures["extractors"]["resiliparse"]["different"] > 0
    assert all(row["ms_per_page"] > 0 and row["all"] is None for row in figures["extractors"].values())


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("a b c d e", [1.0, 0.0, 0.0]),
        ("a b c d", [0.5, 0.0, 0.5]),
        ("a b c d x", [1 / 3, 1 / 3, 1 / 3]),
        ("a, b! c (d) e", [1.0, 0.0, 0.0]),
        ("", [0.0, 1 / 3, 2 / 3]),
    ],
)
def test_shingles(repository, text, counts):
    spec = importlib.util.spec_from_file_location("extraction_benchmark", repository / "benchmarks" / "extraction.py")
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    assert benchmark.shingle_counts("a b c d e", text) == pytest.approx(counts)
