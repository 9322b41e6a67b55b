import json
import subprocess
import sys

import pytest

from curation_cost import Cost, compare
from pipeline import recipe
from processes import Usage
from stages.cascade import TAKEDOWN, UNDECIDED


def cost(cpu_s, alone_s, by_stage, pages):
    stats = {"totals": {"captures": pages, "published": pages}, "cpu_seconds": {"by_stage": by_stage}}
    return Cost(usage=Usage(wall_s=1.0, cpu_s=cpu_s, peak_rss_bytes={}, alone_s=alone_s), stats=stats)


def test_starting_is_taken_off_and_the_rest_is_shown():
    start_up = cost({"driver": 22.0, "worker": 1.0}, 20.0, {"pages": 0.5}, 1)
    whole = cost({"driver": 18.0, "worker": 5.0}, 15.0, {"pages": 2.5, "read": 1.0}, 100)
    figures = compare(start_up, whole)
    assert figures["ms_per_page"] == {"pages": 20.0, "read": 10.0, "everything else": 20.0}
    assert figures["ms_per_page_total"] == 50.0


@pytest.mark.slow
def test_figures_of_a_run_are_per_page_and_leave_out_starting(sample, recipe_file, repository):
    line = [sys.executable, str(repository / "benchmarks" / "curation_cost.py"), "--json", "--recipe", str(recipe_file)]
    line += ["--input", str(sample / "sample-00000.warc.gz")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=repository)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    steps = [step for step in recipe.load(str(recipe_file)).steps if step not in (TAKEDOWN, UNDECIDED)]
    assert [text.split()[0] for text in lines[1 : len(steps) + 1]] == steps
    figures = json.loads(lines[-1])
    assert figures["pages"] > figures["published"] > 0
    assert sum(figures["ms_per_page"].values()) == pytest.approx(figures["ms_per_page_total"])
    assert figures["ms_per_page"]["pages"] > 0
    for cost in (figures["start_up"], figures["run"]):
        assert set(cost["cpu_s"]) == {"driver", "ray", "worker", "guard child"}
        assert min(cost["cpu_s"].values()) > 0
        assert min(cost["peak_rss_bytes"].values()) > 10e6
