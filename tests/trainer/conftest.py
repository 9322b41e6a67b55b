from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.corpus import write_recipe, write_tokens
from trainer.run import STOPPED, train


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token files of the small corpus."""
    torch.set_num_threads(1)
    return write_tokens(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny recipe, unchanged."""
    return write_recipe(tmp_path_factory.mktemp("recipe"))


@pytest.fixture(scope="session")
def uninterrupted(recipe: Path, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny recipe by one process."""
    output = tmp_path_factory.mktemp("run") / "uninterrupted"
    assert train(recipe, tokens=tokens, output=output) == 0
    return output


@pytest.fixture
def run(tokens: Path, tmp_path: Path) -> Callable[..., Path]:
    """Trains a recipe into a folder of the test's own."""

    def trained(recipe: Path, name: str = "run", **options: Any) -> Path:
        assert train(recipe, tokens=tokens, output=tmp_path / name, **options) in (0, STOPPED)
        return tmp_path / name

    return trained
