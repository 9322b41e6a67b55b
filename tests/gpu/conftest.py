"""Tests for a GPU: `python -m pytest --confcutdir=tests/gpu tests/gpu`, with torch, transformers and pytest alone.

Without a GPU they skip. `--on cpu` rehearses those that do not need a GPU's own kernels, to show that they can pass.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from trainer.layout import Process
from trainer.parallel import Mesh, joined

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--on", choices=("cuda", "cpu"), help="rehearse the tests for GPUs on a CPU")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    rehearsed = config.getoption("--on", default=None) == "cpu"
    for item in items:
        if HERE not in item.path.parents:
            continue
        item.add_marker(pytest.mark.gpu)
        if not torch.cuda.is_available() and not rehearsed:
            item.add_marker(pytest.mark.skip(reason="no GPU: torch.cuda is not available"))
        elif rehearsed and item.get_closest_marker("kernels"):
            item.add_marker(pytest.mark.skip(reason="a rehearsal on a CPU: needs a GPU's own kernels or memory"))


@pytest.fixture(scope="session")
def process(request: pytest.FixtureRequest) -> Process:
    """This process, alone, on the device under test."""
    return Process(device_type=request.config.getoption("--on", default=None) or "cuda")


@pytest.fixture(scope="session")
def device(process: Process) -> torch.device:
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False  # fp32 is what others are compared with
    return process.device


@pytest.fixture
def mesh(process: Process) -> Iterator[Mesh]:
    """One process, joined with itself: NCCL on a GPU."""
    with joined(process) as mesh:
        yield mesh
