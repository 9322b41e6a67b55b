"""The four real WARC files beside the checkout, whole: what the main job promises, on real pages."""

import contextlib
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.why import why
from tests.pipeline.real_run import command, finish
from tests.pipeline.test_curate_runs import digests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_both_sums_hold_and_errors_are_rare(real_run, real_warcs):
    _, summary = real_run
    assert len(summary["inputs"]) == len(real_warcs) == 4
    for source in summary["inputs"]:
        assert source["size"] == source["records"] + source["padding"] + source["damaged"]
        assert source["captures"] == source["published"] + source["rejected"]
    errors = sum(n for step in summary["funnel"] for rule, n in step["rules"].items() if rule.startswith("error:"))
    assert errors < 0.005 * summary["totals"]["captures"]


def test_every_response_of_every_file_is_found(real_run, real_warcs):
    from warcio.archiveiterator import ArchiveIterator

    output, summary = real_run
    n = 0
    for path in real_warcs:
        with open(path, "rb") as stream:
            records = ArchiveIterator(stream)
            for record in records:
                if record.rec_type == "response":
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    place = (Path(path).name, records.get_record_offset())
                    assert place in [(entry["warc_path"], entry["warc_offset"]) for entry in why(output, url)], url
                    n += 1
    assert n == summary["totals"]["captures"]


def test_published_languages_agree_with_the_labels(real_run, shared_data):
    output, _ = real_run
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


@pytest.mark.parametrize(("workers", "seed"), [(2, "4242"), (4, "7")])
def test_workers_order_and_hash_seed_change_no_byte(real_run, real_warcs, tmp_path, workers, seed):
    shuffled = random.Random(int(seed)).sample(real_warcs, len(real_warcs))
    finish(shuffled, tmp_path / "out", workers=workers, seed=seed)
    assert digests(tmp_path / "out") == digests(real_run[0])


@pytest.mark.parametrize("unit_bytes", [1 << 20, 3_000_000])
def test_units_of_a_file_change_no_byte_and_no_number(real_run, real_warcs, tmp_path, unit_bytes):
    output, expected = real_run
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"extends: refinedweb\nreader: {{unit_bytes: {unit_bytes}}}\n")
    summary = finish(real_warcs, tmp_path / "out", recipe=recipe)
    assert digests(tmp_path / "out") == digests(output)
    assert summary["inputs"] == expected["inputs"]
    records = list((tmp_path / "out" / "manifest" / "extract").glob("*.json"))
    assert len(records) == sum(-(-Path(path).stat().st_size // unit_bytes) for path in real_warcs)


def test_killed_at_ten_moments_it_goes_on_and_gives_the_same_bytes(real_run, real_warcs, tmp_path):
    """Moments are told by how many tasks are finished, so that they lie in all phases however fast the machine is."""
    output, chance = tmp_path / "out", random.Random(20230921)
    n_tasks = len(finished_tasks(real_run[0]))
    moments = [0, *sorted(chance.sample(range(1, n_tasks - 3), 9))]
    n_killed, early = 0, {}
    for n in moments:
        inputs = chance.sample(real_warcs, len(real_warcs))
        n_killed += killed_after(n, chance.uniform(0, 0.3), command(inputs, output, chance.choice([1, 2])), output)
        now = finished_tasks(output)
        assert early.items() <= now.items()  # what was finished is not done again
        early = now
    assert n_killed >= 8
    finish(real_warcs, output)
    assert digests(output) == digests(real_run[0])


def finished_tasks(output):
    """Records of finished tasks, but for the last, with the times at which they were written."""
    found = {path: path.stat().st_mtime_ns for path in (output / "manifest").rglob("[!.]*.json")}
    return {path.relative_to(output): time_ns for path, time_ns in found.items()}


def killed_after(n, delay_s, line, output):
    """Kill a run and all processes that it started once so many tasks are finished; whether it was still going."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    started = psutil.Process(process.pid)
    while process.poll() is None and len(finished_tasks(output)) < n:
        time.sleep(0.02)
    time.sleep(delay_s)
    others = started.children(recursive=True) if process.poll() is None else []
    for one in [started, *others]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(others, timeout=60)
    return process.wait() == -signal.SIGKILL
