"""Four processes in every layout against one: the same weights, gradients, norms and losses, parameter by parameter."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
import yaml

from tests.trainer.corpus import write_recipe
from tests.trainer.four_ranks import LAYOUTS
from tests.trainer.four_ranks_train import STOPS
from tests.trainer.gradients import TIED, UNTIED, gradients, worst
from tests.trainer.runs import step_losses
from tests.trainer.test_rewind import NERVOUS, SEED
from trainer.config import load_recipe
from trainer.errors import DivergedError, MismatchError
from trainer.layout import Layout, Process
from trainer.model import Falcon2
from trainer.parallel import shard
from trainer.run import train

COMPILED = [name for name in LAYOUTS if "compiled" in name]
PLAIN = [name for name in LAYOUTS if name not in COMPILED]


@pytest.fixture(scope="module")
def one(recipe: Path, tokens: Path) -> dict[int, dict[str, Any]]:
    return {stage: gradients(recipe, tokens, Process(), stage=stage) for stage in (TIED, UNTIED)}


@pytest.fixture(scope="module")
def launch(
    recipe: Path, tokens: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Has four processes compute the gradients in some layouts; returns the folder of what they found."""

    def launched(names: list[str], timeout_s: int, program: str = "four_ranks.py", recipe: Path = recipe) -> Path:
        output = tmp_path_factory.mktemp("four")
        script = repository / "tests" / "trainer" / program
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", str(script)]
        environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [*command, recipe, tokens, output, *names],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that its four processes can be ended with it
        )
        try:
            _, error = process.communicate(timeout=timeout_s)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, error[-4000:]
        return output

    return launched


@pytest.fixture(scope="module")
def plain(launch: Callable[..., Path]) -> Path:
    return launch(PLAIN, 400)


@pytest.fixture(scope="module")
def compiled(launch: Callable[..., Path]) -> Path:
    return launch(COMPILED, 580)


def compare(folder: Path, name: str, one: dict[int, dict[str, Any]]) -> None:
    for stage in (TIED, UNTIED):
        for rank in range(4):
            found, expected = torch.load(folder / f"{name}-{stage}-{rank}.pt"), one[stage]
            assert all(torch.equal(found["weights"][key], expected["weights"][key]) for key in expected["weights"])
            for step in ("uneven", "lonely"):
                differences = worst(found, expected, step)
                assert max(differences.values()) <= 1e-5, max(differences, key=lambda key: differences[key])
                assert found[f"{step} loss"] == pytest.approx(expected[f"{step} loss"], rel=1e-6)
                assert found[f"{step} norm"] == pytest.approx(expected[f"{step} norm"], rel=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_are_those_of_one_process(plain: Path, name: str, one: dict[int, dict[str, Any]]) -> None:
    compare(plain, name, one)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_blocks_have_the_gradients_of_one_process(
    compiled: Path, name: str, one: dict[int, dict[str, Any]]
) -> None:
    compare(compiled, name, one)


@pytest.mark.parametrize("name", PLAIN)
def test_each_process_holds_its_part_of_the_bytes(plain: Path, name: str, one: dict[int, dict[str, Any]]) -> None:
    """Norms alone are not divided over tensor ranks."""
    layout = LAYOUTS[name]
    for stage in (TIED, UNTIED):
        whole = one[stage]["bytes"]
        norms = sum(p.nbytes for key, p in one[stage]["weights"].items() if "layernorm" in key or "ln_f" in key)
        expected = (whole - norms) / (4 // layout.replicate) + norms / (4 // layout.replicate // layout.tensor)
        for rank in range(4):
            assert torch.load(plain / f"{name}-{stage}-{rank}.pt")["bytes"] == expected


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (Layout(replicate=3), "replicate 3 × shard 1 × context 1 × tensor 1 is 3 processes, but there are 4; start as"),
        (Layout(shard=2), "shard 2 × context 1 × tensor 1 is 2 processes, but there are 4"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(layout: Layout, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        Process(world=4).laid_out(layout)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kv_heads": 2}, "4 does not divide the 2 key/"), ({"mlp": 62}, "the 62 columns of the MLP")],
)
def test_models_that_cannot_be_divided_are_refused(recipe: Path, change: dict[str, int], message: str) -> None:
    config = load_recipe(recipe)
    with torch.device("meta"):
        model = Falcon2(replace(config.model, **{"kv_heads": 4} | change), rope_theta=1e4, tied=True)
    with pytest.raises(MismatchError, match=message):
        shard(model, Mock(), Layout(tensor=4))


def test_who_is_who() -> None:
    layout = Layout(replicate=2, context=2, tensor=2)
    assert layout.sizes(16) == (2, 2, 2, 2)
    processes = [Process(rank=rank, world=16).laid_out(layout) for rank in range(16)]
    assert [p.data_rank for p in processes] == [rank // 4 for rank in range(16)]
    assert [p.context_rank for p in processes] == [rank // 2 % 2 for rank in range(16)]
    assert {(p.data_world, p.shard_world) for p in processes} == {(4, 8)}


LAID_OUT = {"shard": "{}", "tensor": "{tensor: 2}", "context": "{context: 2}", "replicate": "{replicate: 2, tensor: 2}"}


@pytest.fixture(scope="module")
def handed_over(launch: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of four processes."""
    recipes = tmp_path_factory.mktemp("laid-out")
    for name, layout in LAID_OUT.items():
        write_recipe(recipes / name, ("seed: 7\n", f"seed: 7\nlayout: {layout}\n"))
    write_recipe(recipes / "nervous", (SEED, SEED + NERVOUS))
    return launch([], 400, "four_ranks_train.py", recipes)


@pytest.mark.slow
@pytest.mark.parametrize("stop", STOPS)
def test_one_process_goes_on_where_tensor_ranks_stopped(
    handed_over: Path, recipe: Path, tokens: Path, uninterrupted: Path, tmp_path: Path, stop: int
) -> None:
    """The next step has the loss that it has without the change of layout, and so have all that follow."""
    shutil.copytree(handed_over / f"tensor-{stop}", tmp_path / "run")
    assert train(recipe, tokens=tokens, output=tmp_path / "run") == 0
    ours, expected = step_losses(tmp_path / "run"), step_losses(uninterrupted)
    assert ours[stop] == pytest.approx(expected[stop], rel=1e-6)
    assert ours == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_a_run_may_go_from_layout_to_layout(handed_over: Path, uninterrupted: Path) -> None:
    assert step_losses(handed_over / "wandering") == pytest.approx(step_losses(uninterrupted), rel=1e-5)


@pytest.mark.slow
def test_four_processes_go_back_where_one_does(handed_over: Path, tokens: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe", (SEED, SEED + NERVOUS))
    with pytest.raises(DivergedError, match="gone back 2 time"):
        train(recipe, tokens=tokens, output=tmp_path / "run")
    runs = (tmp_path / "run", handed_over / "nervous")
    logs = [yaml.safe_load((run / "changes.yaml").read_text())["changes"] for run in runs]
    assert [(entry["at"], entry["skip"]) for entry in logs[0]] == [(entry["at"], entry["skip"]) for entry in logs[1]]
