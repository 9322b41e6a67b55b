"""`falconmix remove` on the command line: its forms, what it refuses, what it says, and its exit codes."""

import json
import shutil

import pytest

from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.index import read_index
from pipeline.progress import Quiet

PAGE = "https://podhorske-noviny.example/svickova-podle-me-tety"


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """Tasks run in this process as well."""
    monkeypatch.setattr("pipeline.ray_engine.RayEngine", lambda workers, address, stop: SerialEngine(stop))


@pytest.fixture(scope="module")
def indexed(sample, recipe_file, tmp_path_factory):
    """A finished run and its index; for copying."""
    place = tmp_path_factory.mktemp("indexed")
    job = CurateJob(
        inputs=(str(sample / "sample-00000.warc.gz"),),
        output=place / "out",
        recipe=recipe.load(str(recipe_file)),
        index=place / "index",
    )
    curate(job, SerialEngine, Quiet())
    return place


@pytest.fixture
def place(indexed, tmp_path):
    """A run, its index and lists of one's own."""
    shutil.copytree(indexed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "urls.txt").write_text(f"# asked for by letter\n{PAGE}\nhttps://gone.example/\n")
    (tmp_path / "missing.txt").write_text(f"{PAGE.replace('https', 'http')}\nhttps://gone.example/\n")
    (tmp_path / "domains.txt").write_text("podhorske-noviny.example\n")
    (tmp_path / "bad.txt").write_text("\nexample\n")
    return tmp_path


def test_addresses_leave_a_run_and_the_index_named(falconmix, place):
    line = ("remove", place / "out", "--urls", place / "urls.txt", "--index", place / "index")
    code, out, err = falconmix(*line)
    assert code == 0
    assert f"{place / 'out'}: 1 page(s) taken out, 1 of them published; out of the index 1 document(s)" in out
    assert f"ids for the mixture to mask: {place / 'out' / 'removals' / 'documents.txt'}" in out
    assert "falconmix remove: 1 of 2 listed urls match nothing:\n  https://gone.example/\n" in err
    (entry,) = json.loads(falconmix("why", place / "out", PAGE, "--json")[1])
    assert (entry["stage"], entry["text"]) == ("takedown", "")
    code, out, _ = falconmix(*line)
    assert (code, out.splitlines()[0]) == (0, "1 of 2 listed urls were taken out before")
    assert "takedown" in falconmix("report", place / "out")[1]


def test_domains_leave_with_json_for_programs(falconmix, place):
    line = ("remove", place / "out", "--domains", place / "domains.txt", "--index", place / "index", "--json")
    code, out, err = falconmix(*line)
    outcome = json.loads(out)
    assert (code, outcome["documents"] > 0, outcome["not_found"]) == (0, True, [])
    assert outcome["index_documents"] >= outcome["documents"]
    assert "match nothing" not in err


def test_nothing_found_exits_1_and_names_what_is_like_it(falconmix, place):
    code, _, err = falconmix("remove", place / "out", "--urls", place / "missing.txt", "--index", place / "index")
    assert code == 1
    assert f"2 of 2 listed urls match nothing:\n  {PAGE.replace('https', 'http')} (but there is {PAGE})" in err
    assert not (place / "out" / "removals").exists() or not list((place / "out" / "removals").iterdir())


def test_an_index_alone(falconmix, place):
    code, out, err = falconmix("remove", "--index", place / "index", "--urls", place / "urls.txt")
    assert (code, out) == (0, f"{place / 'index'}: 1 document(s) taken out\n")
    assert err == "falconmix remove: 1 of 2 listed urls match nothing:\n  https://gone.example/\n"
    assert falconmix("remove", "--index", place / "index", "--urls", place / "urls.txt")[0] == 1
    (segment,) = read_index(place / "index").segments
    code, out, _ = falconmix("remove", "--index", place / "index", "--crawl", segment.crawls[0], "--json")
    assert (code, json.loads(out)["index_documents"]) == (0, segment.documents)
    assert read_index(place / "index").segments == ()


USAGE = [
    (["remove", "out"], "one of the arguments --urls --domains --crawl is required"),
    (["remove", "out", "--urls", "urls.txt", "--domains", "domains.txt"], "not allowed with argument"),
    (["remove", "out", "--index", "index", "--crawl", "x"], "--crawl goes with --index DIR and without OUT"),
    (["remove", "--crawl", "x"], "--crawl goes with --index DIR and without OUT"),
    (["remove", "--urls", "urls.txt"], "give OUT, the folder of a run, or --index DIR"),
    (
        ["remove", "--index", "index", "--domains", "domains.txt"],
        "an index knows keys of addresses, no domains; give OUT",
    ),
    (["remove", "--index", "index", "--crawl", "nope"], "holds nothing of 'nope'; it has "),
    (["remove", "--index", "none", "--urls", "urls.txt"], "no index here"),
    (["remove", "out", "--index", "none", "--urls", "urls.txt"], "no index here"),
    (["remove", "none", "--urls", "urls.txt"], "no finished run here"),
    (["remove", "out", "--urls", "none.txt"], "none.txt: cannot be read (No such file or directory)"),
    (["remove", "out", "--domains", "bad.txt"], "bad.txt, line 2: 'example' is no domain; write it as example.org"),
]


@pytest.mark.parametrize(("line", "said"), USAGE)
def test_wrong_usage_exits_2_and_says_what(falconmix, place, monkeypatch, line, said):
    monkeypatch.chdir(place)
    code, out, err = falconmix(*line)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_a_run_of_dedup_is_refused_with_the_mend(falconmix, place):
    description = json.loads((place / "out" / "run.json").read_text())
    description["replay_of"] = {"dedup": {}}
    (place / "out" / "run.json").write_text(json.dumps(description))
    code, _, err = falconmix("remove", place / "out", "--urls", place / "urls.txt")
    assert code == 2
    assert "written by `falconmix dedup`" in err and "falconmix remove --index DIR --urls FILE" in err
