"""Memory is bounded by the sizes of a job, not by those of its inputs."""

import random
import tracemalloc
from dataclasses import replace

import pytest
import zstandard

from falconmix.import_run import run_import
from mixtures.sources.job import Sizes, plan_import
from mixtures.sources.writing import ShardLimits
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet
from tests.mixtures.sources.imports import write_lines

MIB = 1 << 20
SIZES = Sizes(
    part_bytes=2 * MIB,
    n_buckets=256,
    buffer_bytes=2 * MIB,
    limits=ShardLimits(group_bytes=MIB, shard_bytes=4 * MIB),
)


def posts(count):
    """A dump whose answers lie anywhere after their questions."""
    words = [f"word{i}" for i in range(2000)]
    draw = random.Random(5)
    yield b"<posts>\n"
    for number in range(1, count + 1):
        body = "&lt;p&gt;" + " ".join(draw.choices(words, k=200)) + "&lt;/p&gt;"
        question = number % 3 == 1
        about = 'PostTypeId="1" Title="T"' if question else f'PostTypeId="2" ParentId="{draw.randrange(1, number, 3)}"'
        yield f'  <row Id="{number}" {about} Score="1" Body="{body}" />\n'.encode()
    yield b"</posts>\n"


@pytest.mark.slow
def test_a_dump_of_any_size_needs_the_same_memory(tmp_path):
    """One packed file of 30 MB, which cannot be cut into parts."""
    path = tmp_path / "big.stackexchange.com" / "Posts.xml.zst"
    path.parent.mkdir()
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as writer:
        n_bytes = sum(writer.write(row) and len(row) for row in posts(20_000))
    job = replace(plan_import("stackexchange", [path], tmp_path / "out", settings=["min_answers=0"]), sizes=SIZES)
    warm = write_lines(tmp_path / "warm.jsonl", [{"text": "x"}])
    run_import(plan_import("plain", [warm], tmp_path / "warm"), SerialEngine, Quiet())  # modules that come late
    tracemalloc.start()
    try:
        report, _ = run_import(job, SerialEngine, Quiet())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_bytes > 30_000_000
    assert (report["counts"]["records_used"], report["counts"]["documents"]) == (20_000, 6_667)
    assert len(report["shards"]) > 5
    assert peak < 12 * MIB
