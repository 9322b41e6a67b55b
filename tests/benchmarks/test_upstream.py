import json
import subprocess
import sys


def test_figures_of_each_diff(sample, repository):
    line = [sys.executable, "benchmarks/upstream.py", "--input", str(sample / "*.warc.gz"), "--sample", "30", "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    names = [path.name for path in sorted((repository / "docs" / "upstream").glob("*.diff"))]
    assert figures["pages"] > 2
    assert list(figures["packages"]) == ["as installed", *names, "all together"]
    assert all(row["same"] == 1.0 and row["ms_per_page"] > 0 for row in figures["packages"].values())
