"""Four processes in every layout against one: the same weights, gradients, norms and losses, parameter by parameter."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.four_ranks import LAYOUTS
from tests.trainer.gradients import TIED, UNTIED, gradients, worst
from trainer.errors import MismatchError
from trainer.layout import Layout, Process

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

    def launched(names: list[str], timeout_s: int) -> Path:
        output = tmp_path_factory.mktemp("four")
        script = repository / "tests" / "trainer" / "four_ranks.py"
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4", str(script)]
        environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, recipe, tokens, output, *names],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, done.stderr[-4000:]
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


def test_who_is_who() -> None:
    layout = Layout(replicate=2, context=2, tensor=2)
    assert layout.sizes(16) == (2, 2, 2, 2)
    processes = [Process(rank=rank, world=16).laid_out(layout) for rank in range(16)]
    assert [p.data_rank for p in processes] == [rank // 4 for rank in range(16)]
    assert [p.context_rank for p in processes] == [rank // 2 % 2 for rank in range(16)]
    assert {(p.data_world, p.shard_world) for p in processes} == {(4, 8)}
