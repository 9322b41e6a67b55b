"""Two processes against one: the same gradients, losses and weights; half of the bytes each."""

import os
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed import HashStore

from tests.trainer.gradients import gradients
from tests.trainer.runs import assert_same, final_tensors, step_losses, untimed
from trainer.config import load_recipe
from trainer.layout import Process, launched
from trainer.model import Falcon2
from trainer.parallel import Mesh, joined
from trainer.run import train


@pytest.fixture(scope="module")
def two(recipe: Path, tokens: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that two processes do, in one launch."""
    output = tmp_path_factory.mktemp("two")
    script = repository / "tests" / "trainer" / "two_ranks.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, recipe, tokens, output], env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return output


@pytest.fixture(scope="module")
def one(recipe: Path, tokens: Path) -> dict[str, Any]:
    return gradients(recipe, tokens, Process())


@pytest.mark.parametrize("step", ["uneven", "lonely"])
def test_gradients_equal_those_of_one_process_parameter_by_parameter(two: Path, one: dict[str, Any], step: str) -> None:
    for rank in (0, 1):
        theirs = torch.load(two / f"rank-{rank}.pt")
        assert theirs[f"{step} loss"] == pytest.approx(one[f"{step} loss"], rel=1e-6)
        assert theirs[step].keys() == one[step].keys()
        for name, gradient in one[step].items():
            assert gradient.norm() > 0, name
            assert (theirs[step][name] - gradient).norm() <= 1e-5 * gradient.norm(), name


def test_each_process_holds_half_of_the_parameter_bytes(two: Path, one: dict[str, Any], recipe: Path) -> None:
    with torch.device("meta"):
        model = Falcon2(load_recipe(recipe).model, rope_theta=1e4, tied=False)
    whole = sum(parameter.nbytes for parameter in model.parameters())
    assert one["bytes"] == whole
    assert [torch.load(two / f"rank-{rank}.pt")["bytes"] for rank in (0, 1)] == [whole // 2, whole // 2]


def test_losses_equal_those_of_one_process_at_every_step(two: Path, uninterrupted: Path) -> None:
    ours, theirs = step_losses(uninterrupted), step_losses(two / "whole")
    assert len(ours) == 22
    assert theirs == pytest.approx(ours, rel=1e-4)
    records = zip(untimed(uninterrupted), untimed(two / "whole"), strict=True)
    for our, their in records:
        assert our.keys() == their.keys()
        assert our.get("languages", {}).keys() == their.get("languages", {}).keys()
        assert [our.get(key) for key in ("kind", "step", "tokens", "stage")] == [
            their.get(key) for key in ("kind", "step", "tokens", "stage")
        ]


def test_two_processes_stopped_and_resumed_give_the_same_bits(two: Path) -> None:
    assert_same(final_tensors(two / "stopped"), final_tensors(two / "whole"))
    assert untimed(two / "stopped") == untimed(two / "whole")


def test_one_process_goes_on_where_two_stopped(
    two: Path, recipe: Path, tokens: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    output = tmp_path / "run"
    shutil.copytree(two / "handed-over", output)
    assert train(recipe, tokens=tokens, output=output) == 0
    assert step_losses(output) == pytest.approx(step_losses(uninterrupted), rel=1e-4)


def test_torchruns_variables_say_which_process_this_is() -> None:
    process = launched({"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"})
    assert (process.rank, process.local_rank, process.world, process.leads) == (5, 1, 8, False)
    assert (launched({}).world, launched({}).leads) == (1, True)


def test_one_gpu_alone_has_a_group_that_may_save() -> None:
    """NCCL knows no CPU, without which DCP does not write beside training; here is a gloo that knows none, either."""
    dist.init_process_group("cuda:gloo", store=HashStore(), rank=0, world_size=1)
    try:
        saving = Mesh.of((1, 1, 1, 1), "cuda").saving
        assert saving is not None and torch.device("cpu") in saving._device_types
    finally:
        dist.destroy_process_group()


def test_the_heartbeat_gives_up_before_any_group_does() -> None:
    with joined(Process(), hang_s=7_200.0):
        groups = list(dist.distributed_c10d._world.pg_map)
        limits = {group._get_backend(torch.device("cpu")).options._timeout for group in groups}
    assert limits == {timedelta(seconds=7_500)}
