"""Invariants 2 and 3 on the sample, through the command line: any workers, order, hash seed, and interruptions."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pipeline.store import Store

DIGESTED = ("RefinedWeb-English", "RefinedWeb-Europe", "rejected", "quarantine", "dedup")


def digests(output):
    store = Store(output)
    return {name: store.digest(name) for folder in DIGESTED for name in store.names(folder)}


@pytest.fixture(scope="session")
def command(sample, recipe_file):
    """Arguments and environment of a curation run."""

    def make(output, *, workers=1, seed="0", reverse=False):
        inputs = sorted((str(path) for path in sample.glob("*.warc.gz")), reverse=reverse)
        line = [sys.executable, "-m", "falconmix.cli", "curate", *inputs, "--output", str(output), "--recipe"]
        line += [str(recipe_file), "--workers", str(workers), "--json"]
        return line, os.environ | {"PYTHONHASHSEED": seed}

    return make


def finish(command):
    line, environment = command
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="session")
def reference(curated):
    """What one process without Ray writes."""
    return digests(curated)


def test_workers_order_and_hash_seed_change_no_byte(command, reference, tmp_path):
    finish(command(tmp_path / "out", workers=2, seed="12345", reverse=True))
    assert digests(tmp_path / "out") == reference
    assert len(reference) > 15


def finished_units(records):
    """Records of finished units with the time they were written; not one that was being written."""
    return {path.name: path.stat().st_mtime_ns for path in records.glob("[!.]*.json")}


def test_a_killed_run_goes_on_and_gives_the_same_bytes(command, reference, tmp_path):
    output = tmp_path / "out"
    line, environment = command(output)
    process = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = output / "manifest" / "extract"
    while process.poll() is None and not finished_units(records):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished_early = finished_units(records)
    assert 1 <= len(finished_early) < 3
    _, said = finish(command(output))
    assert f"{len(finished_early)} finished earlier" in said or "2 finished earlier" in said
    assert finished_early.items() <= finished_units(records).items()
    assert digests(output) == reference


def test_an_interrupted_run_says_how_to_go_on(command, reference, tmp_path):
    output = tmp_path / "out"
    line, environment = command(output)
    process = subprocess.Popen(
        line,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background may ignore it
    )
    while process.poll() is None and not (output / "run.json").exists():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert "run the same command again to go on" in said
    assert not (output / ".lock").exists()
    finish(command(output))
    assert digests(output) == reference
