import json
import subprocess
import sys

import pytest

from cascade import Side, compare, upper_bound
from stages.pages import PageResult


def side(cpu_s, stages):
    return Side(reader=None, results=[PageResult(stage=stage) for stage in stages], cpu_s=cpu_s)


def test_of_a_pages_times_the_least_counts():
    one = Side(reader=lambda page: PageResult(text=page), cpu_s=[])
    one.read("first")
    one.cpu_s[-1] = 100.0
    one.read("first", again=True)
    assert len(one.cpu_s) == len(one.results) == 1
    assert one.cpu_s[0] < 100.0


def test_losses_and_costs_are_counted():
    gated = side([0.010, 0.001, 0.002, 0.012], [None, "early_language", "visible", None])
    ungated = side([0.010, 0.009, 0.008, 0.011], [None] * 4)
    figures = compare(gated, [True, False, False, False], ungated, [True, True, False, False], None)
    assert (figures["survivors_with_gates"], figures["survivors_without_gates"], figures["lost"]) == (1, 2, 1)
    assert figures["stopped_early"] == {"early_language": 1, "visible": 1}
    assert figures["doomed"] == 0.5
    assert figures["ms_per_page"]["with_gates"] == pytest.approx(
        {"surviving": 5.5, "doomed": 7.0, "as_given": 6.25, "all": 6.25}
    )
    assert figures["ratio"] == pytest.approx(9.5 / 6.25)
    more = compare(gated, [True, False, False, False], ungated, [True, True, False, False], 0.75)
    assert more["ms_per_page"]["with_gates"]["all"] == pytest.approx(0.25 * 5.5 + 0.75 * 7.0)
    assert more["ratio_as_given"] == figures["ratio"]


@pytest.mark.parametrize(
    ("lost", "n", "bound"),
    [
        (0, 1261, 1 - 0.05 ** (1 / 1261)),
        (0, 100, 0.02951305),
        (1, 10, 0.39416334),
        (5, 20, 0.45558240),
        (3, 3, 1.0),
        (0, 0, 1.0),
    ],
)
def test_the_bound_is_that_of_clopper_and_pearson(lost, n, bound):
    assert upper_bound(lost, n) == pytest.approx(bound, abs=1e-6)


def test_the_gates_lose_nothing_of_the_sample(sample, repository, recipe_file):
    line = [sys.executable, "benchmarks/cascade.py", "--input", str(sample), "--recipe", str(recipe_file)]
    done = subprocess.run(
        [*line, "--doomed", "0.5", "--rounds", "2", "--json"],
        capture_output=True,
        text=True,
        cwd=repository,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["lost"] == 0
    assert figures["survivors_with_gates"] == figures["survivors_without_gates"] > 50
    assert figures["stopped_early"]["early_language"] > 0
    assert figures["lost_at_most"] == pytest.approx(1 - 0.05 ** (1 / figures["survivors_with_gates"]))
    assert figures["doomed"] == 0.5
    assert set(figures["ms_per_page"]["with_gates"]) == {"surviving", "doomed", "as_given", "all"}
