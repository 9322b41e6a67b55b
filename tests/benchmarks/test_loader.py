import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import loader
from mixtures.stream import Stream


def test_both_sides_read_the_same_tokens_of_files_of_their_own(tmp_path: Path) -> None:
    root = loader.write_root(tmp_path / "tokens", 2, 20_000)
    flat = np.fromfile(loader.write_flat(root, tmp_path / "flat.bin"), np.uint16)
    stream = Stream.open(loader.repeatable(64), root)
    assert {len(stream.sequence(position).tokens) for position in range(50)} == {65}
    assert len(flat) == sum(map(stream._catalogue.tokens, stream._catalogue.folders))
    assert (flat < 65_024).all() and int((flat == 11).sum()) == 14 * 2 * 20


def test_rates() -> None:
    cost = loader.Cost(cpu_s=2.0, wall_s=4.0)
    assert loader.rates(cost, 1_000, 2_048) == {
        "tokens_per_cpu_s": 1_024_000.0,
        "tokens_per_s": 512_000.0,
        "us_per_sequence": 2_000.0,
    }


def test_the_program_prints_one_object(tmp_path: Path, repository: Path) -> None:
    given = ["--shards", "1", "--shard-tokens", "20000", "--contexts", "64", "--tokens", "2000", "--rounds", "1"]
    given += ["--latency-ms", "1", "--store-sequences", "4"]
    command = [sys.executable, "benchmarks/loader.py", *given, "--scratch", tmp_path, "--json"]
    done = subprocess.run(command, cwd=repository, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["shards"] == 14
    assert [(row["context"], row["sequences"]) for row in figures["contexts"]] == [(64, 31)]
    assert figures["contexts"][0]["ratio"] > 0 and figures["demo"]["ratio"] > 0
    assert figures["store"]["windows_per_s"] > 0
    assert list(tmp_path.iterdir()) == []
