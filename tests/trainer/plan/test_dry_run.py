"""The plan's formulae against the trainer's own code, run for single ranks of many."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.plan.fake_ranks import ORDERS
from trainer.config import load_recipe
from trainer.errors import TrainerError
from trainer.layout import Layout
from trainer.plan.compared import compared
from trainer.plan.dry_run import Order, dry_run

MEMORY_TOLERANCE = 0.10


@pytest.fixture(scope="module")
def seen(repository: Path) -> dict[str, dict[str, Any]]:
    script = repository / "tests" / "trainer" / "plan" / "fake_ranks.py"
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", ORDERS)
def test_arithmetic_and_collectives_are_the_plans_to_the_byte(seen: dict[str, dict[str, Any]], name: str) -> None:
    rows = [row for row in seen[name]["rows"] if row["name"] != "peak memory"]
    assert len(rows) > 1 or ORDERS[name].world == 1
    for row in rows:
        assert row["seen"] == row["planned"] > 0, row


@pytest.mark.parametrize("name", ORDERS)
def test_peak_memory_is_near_the_plans(seen: dict[str, dict[str, Any]], name: str) -> None:
    (row,) = [row for row in seen[name]["rows"] if row["name"] == "peak memory"]
    assert row["seen"] == pytest.approx(row["planned"], rel=MEMORY_TOLERANCE)


@pytest.mark.parametrize("name", ORDERS)
def test_each_rank_holds_its_share_of_the_parameter_bytes(seen: dict[str, dict[str, Any]], name: str) -> None:
    order, untied = ORDERS[name], ORDERS[name].stage != 0
    model = order.config.model
    whole = 4 * (2 * model.vocab if untied else model.vocab) * model.hidden
    whole += 4 * model.layers * (2 * model.hidden * model.mlp + 3 * model.hidden * model.hidden)
    parts = order.world // order.config.layout.replicate
    assert seen[name]["parameter_bytes"] == pytest.approx(whole / parts, rel=0.01)
    assert seen[name]["optimizer_bytes"] == pytest.approx(2 * whole / parts, rel=0.01)


def falcon(data_rank: int, stage: int) -> Order:
    config = load_recipe("falcon2-11b")
    contexts = (2048, 4096, 8192, 8192)
    return Order(
        config=config,
        world=1024,
        data_rank=data_rank,
        stage=stage,
        context=contexts[stage],
        sequences=1,
        passes=64,
        mixed=True,
    )


def test_the_last_of_1024_ranks_holds_nothing_of_embedding_and_head() -> None:
    order = falcon(127, 3)
    seen = dry_run(order)
    assert (seen.rank, seen.mesh) == (1016, "replicate 1 × parameters 128 × tensor 8")
    assert seen.empty == ["word_embeddings.weight", "lm_head.weight"]
    assert seen.shapes["word_embeddings.weight"] == (0, 4096)
    assert seen.shapes["h.*.self_attention.query_key_value.weight"] == (6, 4096)
    assert seen.shapes["h.*.mlp.dense_4h_to_h.weight"] == (32, 2048)
    assert seen.parameter_bytes == 60 * 688_384 + 2 * 32 * 4
    rows = {(row.name, row.unit): row for row in compared(order, seen)}
    assert rows["peak memory", "bytes"].seen == pytest.approx(rows["peak memory", "bytes"].planned, rel=0.02)
    assert rows["all-gather over 128", "bytes"].seen == 2 * (60 * 176_168_960 // 8 + 60 * 2 * 4096 * 7 // 8) + 2 * (
        2 * 8192 * 4096 + 2 * 4096
    )
    assert all(row.difference == 0 for key, row in rows.items() if key[0] != "peak memory")


@pytest.mark.slow
@pytest.mark.parametrize("stage", range(4))
def test_the_first_of_1024_ranks_in_every_stage(stage: int) -> None:
    order = falcon(0, stage)
    seen = dry_run(order)
    assert seen.shapes["word_embeddings.weight"] == (64, 4096)
    assert not seen.empty
    for row in compared(order, seen):
        assert abs(row.difference) <= (0.02 if row.name == "peak memory" else 0), row


def test_a_failure_in_the_other_process_is_told() -> None:
    order = ORDERS["one process"]
    bad = replace(order, config=replace(order.config, layout=Layout(tensor=3)), world=3)
    with pytest.raises(TrainerError, match=r"dry run of data rank 0: .*tensor 3 does not divide the 4 key/value heads"):
        dry_run(bad)
