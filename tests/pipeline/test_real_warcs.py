"""The four real WARC files beside the checkout, whole: what the main job promises, on real pages."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.why import why
from tests.pipeline.test_curate_runs import digests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def warcs(shared_data):
    return sorted(str(path) for path in (shared_data / "warc").glob("*.warc.gz"))


def command(inputs, output, workers, recipe="refinedweb"):
    line = [sys.executable, "-m", "falconmix.cli", "curate", *inputs, "--output", str(output)]
    return [*line, "--workers", str(workers), "--recipe", str(recipe), "--json"]


def finish(inputs, output, *, workers=2, seed="0", recipe="refinedweb"):
    line = command(inputs, output, workers, recipe)
    done = subprocess.run(line, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def run(warcs, tmp_path_factory):
    output = tmp_path_factory.mktemp("real") / "out"
    return output, finish(warcs, output, workers=1)


def test_both_sums_hold_and_errors_are_rare(run, warcs):
    _, summary = run
    assert len(summary["inputs"]) == len(warcs) == 4
    for source in summary["inputs"]:
        assert source["size"] == source["records"] + source["padding"] + source["damaged"]
        assert source["captures"] == source["published"] + source["rejected"]
    errors = sum(n for step in summary["funnel"] for rule, n in step["rules"].items() if rule.startswith("error:"))
    assert errors < 0.005 * summary["totals"]["captures"]


def test_every_response_of_every_file_is_found(run, warcs):
    from warcio.archiveiterator import ArchiveIterator

    output, summary = run
    n = 0
    for path in warcs:
        with open(path, "rb") as stream:
            records = ArchiveIterator(stream)
            for record in records:
                if record.rec_type == "response":
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    place = (Path(path).name, records.get_record_offset())
                    assert place in [(entry["warc_path"], entry["warc_offset"]) for entry in why(output, url)], url
                    n += 1
    assert n == summary["totals"]["captures"]


def test_near_duplicates_of_the_gold_list_are_in_one_cluster(run, shared_data):
    """Of gold pairs with J ≥ 0.8 whose two pages were compared, none may be published twice."""
    output, _ = run
    rows = [line.split("\t") for line in (shared_data / "gold" / "dup_pairs.tsv").read_text().splitlines()[1:]]
    near = [(a, b) for a, b, _, jaccard, _ in rows if float(jaccard) >= 0.9]
    published_twice = [
        (a, b) for a, b in near if all(entry["outcome"] == "published" for url in (a, b) for entry in why(output, url))
    ]
    assert len(near) > 50
    assert published_twice == []


def test_published_languages_agree_with_the_labels(run, shared_data):
    output, _ = run
    label = {}
    with (shared_data / "gold" / "pages.jsonl").open() as stream:
        for line in stream:
            page = json.loads(line)
            label[page["url"]] = page.get("lang")
    folders = [output / "RefinedWeb-English", output / "RefinedWeb-Europe"]
    files = [file for folder in folders for file in folder.rglob("*.parquet")]
    table = pa.concat_tables([pq.read_table(file, columns=["url", "language"], partitioning=None) for file in files])
    known = [
        (row["language"], label[row["url"]]) for row in table.to_pylist() if label[row["url"]] not in (None, "unknown")
    ]
    assert len(known) > 900
    assert sum(found == given for found, given in known) >= 0.99 * len(known)


def test_workers_order_and_hash_seed_change_no_byte(run, warcs, tmp_path):
    output, _ = run
    finish(list(reversed(warcs)), tmp_path / "out", workers=2, seed="4242")
    assert digests(tmp_path / "out") == digests(output)


@pytest.mark.parametrize("unit_bytes", [1 << 20, 3_000_000])
def test_units_of_a_file_change_no_byte_and_no_number(run, warcs, tmp_path, unit_bytes):
    output, expected = run
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"extends: refinedweb\nreader: {{unit_bytes: {unit_bytes}}}\n")
    summary = finish(warcs, tmp_path / "out", recipe=recipe)
    assert digests(tmp_path / "out") == digests(output)
    assert summary["inputs"] == expected["inputs"]
    records = list((tmp_path / "out" / "manifest" / "extract").glob("*.json"))
    assert len(records) == sum(-(-Path(path).stat().st_size // unit_bytes) for path in warcs)


def test_a_killed_run_goes_on_and_gives_the_same_bytes(run, warcs, tmp_path):
    output, _ = run
    line = command(warcs, tmp_path / "out", 2)
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = tmp_path / "out" / "manifest" / "extract"
    while process.poll() is None and not (records.exists() and list(records.glob("*.json"))):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    early = {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 1 <= len(early) < 4
    finish(warcs, tmp_path / "out")
    assert early.items() <= {path.name: path.stat().st_mtime_ns for path in records.glob("*.json")}.items()
    assert digests(tmp_path / "out") == digests(output)
