import subprocess
import sys

import pytest

from curation import RECIPE, PeerRun, costs
from curation_cost import Cost
from decisions import Fate, cause, compare, ours, peer_judge, text_judge, theirs
from pipeline.recipe import load
from processes import Usage
from stages.language import ELEVEN
from warc_sets import responses, write_start_up

KEPT = Fate(step=None, text="a text", language="en")
PAGE = "The river had risen in the night and by morning the lower meadow was under water so that we had to wait. "


def usage(cpu_s, alone_s=0.0):
    return Usage(wall_s=1.0, cpu_s=cpu_s, peak_rss_bytes={}, alone_s=alone_s)


def ours_of(cpu_s, alone_s, by_stage):
    return Cost(usage=usage(cpu_s, alone_s), stats={"cpu_seconds": {"by_stage": by_stage}})


def theirs_of(total_s, by_step_s, notes_s):
    return PeerRun(usage=usage({"driver": total_s}), by_step_s=by_step_s, notes_s=notes_s, pages={}, trafilatura="1")


def test_starting_notes_and_further_work_are_kept_out_of_the_ratio():
    figures = costs(
        ours_of({"driver": 9.0, "ray": 1.0}, 8.0, {"pages": 0.5}),
        ours_of({"driver": 10.0, "ray": 1.5, "worker": 3.5}, 9.0, {"pages": 2.0, "write": 0.5, "publish": 1.0}),
        theirs_of(4.0, {"read": 1.0, "extract": 1.0, "other": 1.0}, 1.0),
        theirs_of(26.0, {"read": 2.0, "extract": 18.0, "other": 1.0}, 4.0),
        100,
    )
    assert figures["falconmix"]["by_work"] == pytest.approx(
        {"pages": 15.0, "driver": 0.0, "Ray": 5.0, "everything else": 5.0}
    )
    assert figures["falconmix"]["apart"] == pytest.approx({"write": 5.0, "deduplicate": 0.0, "publish": 10.0})
    assert figures["falconmix"]["ms_per_page"] == pytest.approx(25.0)
    assert figures["datatrove"]["by_work"] == pytest.approx({"read": 10.0, "extract": 170.0, "everything else": 10.0})
    assert figures["ratio"] == pytest.approx(190 / 25)
    assert figures["ratio_with_output"] == pytest.approx(190 / 40)


def test_fates_of_the_peer_are_read_from_its_notes():
    notes = {
        "1": {"passed": "quality", "text": "kept", "language": "en"},
        "2": {"passed": "repetition", "text": "short", "language": "en", "reason": "gopher_short_doc"},
        "3": {"passed": "url_filter"},
    }
    places = {("a", number): ("a", str(number)) for number in range(1, 5)}
    assert [(fate.step, fate.rule, fate.text) for fate in theirs(notes, places).values()] == [
        (None, None, "kept"),
        ("quality", "gopher_short_doc", "short"),
        ("extract", "no_text", ""),
        ("read", "not_handed_on", ""),
    ]


def test_shares_of_equal_decisions_and_texts():
    own = {("a", "1"): KEPT, ("a", "2"): KEPT, ("a", "3"): KEPT, ("a", "4"): Fate(step="capture", rule="http_status")}
    other = {
        ("a", "1"): Fate(step=None, text="a text", language="en"),
        ("a", "2"): Fate(step=None, text="a text  http://a.org/", language="en"),
        ("a", "3"): Fate(step="url_filter", rule="domain"),
        ("a", "4"): Fate(step="quality", rule="gopher_short_doc", language="en"),
    }
    figures = compare(own, other, judge=lambda _: KEPT, peer_by_spaces=lambda *_: True)
    assert figures["same_decisions"] == 0.75
    assert (figures["same_text"], figures["same_text_untidied"]) == (1.0, 0.5)
    assert figures["same_decisions_same_words"] == 0.5  # the last one is kept when its words are split at white space
    assert figures["same_decisions_same_texts"] == 1.0
    assert figures["causes"] == {"datatrove url_filter: domain": 1}
    assert (figures["kept_by_falconmix_alone"], figures["kept_by_datatrove_alone"]) == (1, 0)


@pytest.mark.parametrize(
    ("own", "other", "on_theirs", "by_spaces", "expected"),
    [
        (Fate(step="capture", rule="http_status"), KEPT, KEPT, True, "falconmix capture: http_status"),
        (KEPT, Fate(step="extract", rule="no_text"), KEPT, True, "datatrove finds no text"),
        (KEPT, Fate(step="quality", rule="short"), Fate(step="quality", rule="few"), False, "texts differ"),
        (Fate(step="visible", rule="few"), KEPT, KEPT, True, "falconmix gate visible: few"),
        (KEPT, Fate(step="language_filter"), KEPT, True, "language of the same text"),
        (KEPT, Fate(step="quality", rule="r", language="en"), KEPT, True, "words, datatrove drops by r"),
        (KEPT, Fate(step="quality", rule="r", language="en"), KEPT, False, "rules, datatrove drops by r"),
        (Fate(step="quality", rule="q"), KEPT, Fate(step="quality", rule="q"), True, "rules, falconmix drops by q"),
        (Fate(step="quality", rule="q"), KEPT, Fate(step="quality", rule="q"), False, "words, falconmix drops by q"),
    ],
)
def test_the_cause_of_a_different_decision(own, other, on_theirs, by_spaces, expected):
    assert cause(own, other, lambda _: on_theirs, lambda *_: by_spaces) == expected


def test_both_judges_decide_on_a_text_alone(repository):
    judge, keeps = text_judge(load(str(RECIPE))), peer_judge({"en": ["the", "and", "to", "that"]})
    assert judge(PAGE * 5).step == "repetition"
    assert not keeps(PAGE * 5, "en")
    page = (repository / "examples" / "pages" / "en.md").read_text(encoding="utf-8")
    assert judge(page).kept
    assert keeps(page, "en")
    assert judge("http://a.org/").rule == "no_text"


@pytest.mark.slow
def test_our_fates_are_those_of_a_run(tmp_path, repository):
    path = write_start_up(tmp_path / "pages")
    line = [sys.executable, "-m", "falconmix.cli", "curate", str(path), "--output", str(tmp_path / "out")]
    done = subprocess.run([*line, "--recipe", str(RECIPE)], capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 0, done.stderr
    fates = ours(tmp_path / "out", responses([path]))
    assert {fate.language for fate in fates.values()} == set(ELEVEN)
    assert all(fate.kept for fate in fates.values())


def test_a_missing_environment_of_the_peers_is_named_with_its_mend(tmp_path, repository):
    path = write_start_up(tmp_path / "pages")
    line = [sys.executable, "benchmarks/curation.py", "--input", str(path), "--peer-env", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=repository, check=False)
    assert done.returncode == 1
    assert "make bench-env" in done.stderr
