import json
import sys
from itertools import pairwise

import pytest

from falconmix import cli
from falconmix.dedup_plan import MAX_BANDS, MAX_FUNCTIONS, false_candidates, plan
from pipeline.errors import UsageError
from stages.minhash import PRESETS, Geometry, collision_probability


@pytest.fixture(scope="module")
def figures():
    return plan(0.8, 0.99)


@pytest.fixture
def without_datasketch(monkeypatch):
    """Its search for an optimum of 9,000 functions takes seconds."""
    monkeypatch.setitem(sys.modules, "datasketch", None)


def named(figures, name):
    (choice,) = (choice for choice in figures["geometries"] if choice["name"] == name)
    return choice


def test_presets_have_their_published_recall(figures):
    expected = {"refinedweb": (50, 10, 0.9966), "refinedweb-paper": (450, 20, 0.9946), "fineweb": (14, 8, 0.924)}
    for name, (bands, rows, recall) in expected.items():
        choice = named(figures, name)
        assert (choice["bands"], choice["rows"]) == (bands, rows)
        assert choice["recall"] == pytest.approx(recall, abs=1e-3)
    assert named(figures, "refinedweb")["bytes_per_document"] == 50 * 8 + 512
    assert named(figures, "refinedweb-paper")["hash_functions"] == 9000
    assert named(figures, "fineweb")["curve"]["0.5"] == pytest.approx(1 - (1 - 0.5**8) ** 14)


def test_datasketchs_optimum_is_asked_for_as_many_functions(figures):
    """Its weights are equal, so that it gives up most pairs at the threshold itself."""
    ours = [choice["hash_functions"] for choice in figures["geometries"][:3]]
    theirs = [named(figures, f"datasketch, {n:,}") for n in ours]
    assert all(choice["hash_functions"] <= n for choice, n in zip(theirs, ours, strict=True))
    assert (theirs[0]["bands"], theirs[0]["rows"]) == (27, 18)
    assert figures["notes"] == []


@pytest.mark.parametrize(("threshold", "recall"), [(0.8, 0.99), (0.5, 0.9), (0.95, 0.999), (0.2, 0.5)])
def test_candidates_reach_the_recall_with_no_band_too_many(without_datasketch, threshold, recall):
    found = [choice for choice in plan(threshold, recall)["geometries"] if "×" in choice["name"]]
    assert len(found) >= 2
    for choice in found:
        fewer = Geometry(bands=choice["bands"] - 1, rows=choice["rows"])
        assert choice["recall"] >= recall > collision_probability(threshold, fewer)
        assert choice["bands"] <= MAX_BANDS
        assert choice["hash_functions"] <= MAX_FUNCTIONS
    for less, more in pairwise(found):
        assert more["bands"] >= 1.5 * less["bands"]
        assert more["false_candidates"] < less["false_candidates"]


def test_false_candidates_are_an_area():
    """One band of one row proposes a pair with the probability of its similarity: below .5 lies a quarter."""
    assert false_candidates(Geometry(bands=1, rows=1), 0.5) == pytest.approx(0.25, abs=1e-4)
    assert false_candidates(Geometry(bands=1, rows=2), 0.5) == pytest.approx(0.125, abs=1e-4)


@pytest.mark.parametrize(
    ("threshold", "recall", "said"),
    [(1.5, 0.9, "--threshold is 1.5"), (float("nan"), 0.9, "--threshold is nan"), (0.8, 1, "--recall is 1")],
)
def test_what_is_no_share_is_refused(threshold, recall, said):
    with pytest.raises(UsageError, match=said):
        plan(threshold, recall)


def test_without_datasketch_its_optimum_is_left_out(without_datasketch):
    figures = plan(0.001, 0.99)
    assert figures["notes"] == [
        "datasketch is not installed, so its optimum is left out: pip install 'falconmix[interop]'",
        "no geometry of 2 to 512 bands reaches this recall at this threshold",
    ]
    assert [choice["name"] for choice in figures["geometries"]] == ["refinedweb", "refinedweb-paper", "fineweb"]


def test_an_optimum_that_datasketch_refuses_is_noted(monkeypatch):
    monkeypatch.setattr("falconmix.dedup_plan.PRESETS", {"fineweb": PRESETS["fineweb"]})
    note, *_ = plan(1 - 1e-9, 0.99)["notes"]
    assert note.startswith("datasketch has no optimum for 112 hash functions: ")


def test_the_command_prints_a_table_or_json(capsys, without_datasketch):
    assert cli.main(["dedup-plan", "--threshold", "0.8"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "geometry          bands  rows  functions   J=0.6   J=0.7  J=0.75  recall  false  bytes"
    assert lines[1] == "refinedweb           50    10        500  0.2616  0.7613  0.9449  0.9966  44.0%    912"
    assert any(line.startswith("41 × 10 ") for line in lines)
    assert lines[-1].startswith("datasketch is not installed")
    assert cli.main(["dedup-plan", "--threshold", "0.8", "--recall", "0.9", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["threshold"], answer["recall"]) == (0.8, 0.9)
    assert answer["geometries"][0]["name"] == "refinedweb"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--threshold", "0"], "falconmix dedup-plan: --threshold is 0; give a number between 0 and 1, such as 0.8"),
        (["--threshold", "0.8", "--recall", "2"], "--recall is 2; give a number between 0 and 1"),
        (["--threshold", "much"], "invalid float value: 'much'"),
        ([], "required: --threshold"),
    ],
)
def test_wrong_usage_exits_2(capsys, line, said):
    try:
        code = cli.main(["dedup-plan", *line])
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert said in err
