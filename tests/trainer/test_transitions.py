from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.trainer.runs import untimed
from trainer.build import Trained, blank, initialise
from trainer.config import StageConfig, TrainConfig, load_recipe
from trainer.layout import Process
from trainer.loss import loss_sums
from trainer.optim import tune
from trainer.parallel import Mesh, full, joined
from trainer.transitions import entered

TOKENS = torch.randint(0, 320, (4, 17), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    with joined(Process()) as mesh:
        yield mesh


@pytest.fixture
def config(recipe: Path) -> TrainConfig:
    return load_recipe(recipe)


def loss(trained: Trained) -> torch.Tensor:
    return loss_sums(trained.model(TOKENS[:, :-1]), TOKENS[:, 1:]).cross_entropy / 64


def step(trained: Trained) -> None:
    torch.autograd.backward(loss(trained))
    tune(trained.optimizer, rate=1e-2, eps=1e-8)
    trained.optimizer.step()
    trained.optimizer.zero_grad()


@pytest.fixture
def trained(config: TrainConfig, mesh: Mesh) -> Trained:
    """A tied model after three steps, so that its moments are not zero."""
    trained = blank(config, config.stages[0], mesh, Process())
    initialise(trained.model, config.model, seed=1)
    for _ in range(3):
        step(trained)
    return trained


def untied_stage(config: TrainConfig) -> StageConfig:
    return replace(config.stages[0], tied=False)


def test_untying_leaves_the_loss_as_it_was(trained: Trained, config: TrainConfig, mesh: Mesh) -> None:
    before = loss(trained)
    torch.autograd.backward(before)  # gathers and frees the parameters as a step does
    trained.optimizer.zero_grad()
    untied = entered(trained, untied_stage(config), config, mesh, Process())
    assert not untied.model.tied
    assert loss(untied).item() == before.item()


def test_untying_copies_weight_moments_and_count(trained: Trained, config: TrainConfig, mesh: Mesh) -> None:
    before = {name: full(tensor).clone() for name, tensor in trained.tensors().items()}
    after = {
        name: full(tensor)
        for name, tensor in entered(trained, untied_stage(config), config, mesh, Process()).tensors().items()
    }
    assert after.keys() - before.keys() == {
        f"{kind}.lm_head.weight" for kind in ("model", "exp_avg", "exp_avg_sq", "step")
    }
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name.replace("lm_head", "word_embeddings")]), name
    assert before["exp_avg_sq.word_embeddings.weight"].min() > 0
    assert before["step.word_embeddings.weight"] == 3


def test_after_untying_the_two_go_their_own_ways(trained: Trained, config: TrainConfig, mesh: Mesh) -> None:
    untied = entered(trained, untied_stage(config), config, mesh, Process())
    step(untied)
    after = {name: full(tensor) for name, tensor in untied.tensors().items()}
    assert not torch.equal(after["model.lm_head.weight"], after["model.word_embeddings.weight"])


def test_the_rotary_base_alone_changes_the_loss(trained: Trained, config: TrainConfig, mesh: Mesh) -> None:
    before = loss(trained).item()
    same = entered(trained, config.stages[0], config, mesh, Process())
    assert same is trained
    assert loss(same).item() == before
    other = entered(trained, replace(config.stages[0], rope_theta=10.0), config, mesh, Process())
    assert loss(other).item() != pytest.approx(before, abs=1e-6)


def test_batch_and_context_leave_the_loss_as_it_was(trained: Trained, config: TrainConfig, mesh: Mesh) -> None:
    """The same sequences in one batch, in several, and after entering a stage of another context and batch."""
    before = loss(trained).item()
    with torch.no_grad():
        apart = [loss_sums(trained.model(row[None, :-1]), row[None, 1:]).cross_entropy.item() for row in TOKENS]
    assert sum(apart) / 64 == pytest.approx(before, abs=1e-6)
    longer = replace(config.stages[1], rope_theta=config.stages[0].rope_theta)
    assert longer.batch != config.stages[0].batch
    assert loss(entered(trained, longer, config, mesh, Process())).item() == pytest.approx(before, abs=1e-6)


def test_the_jump_of_a_rotary_base_is_measured(uninterrupted: Path) -> None:
    """Stages two and four have another base than the one before them; three has not."""
    records = untimed(uninterrupted)
    jumps = [record for record in records if record["kind"] == "transition"]
    assert [(jump["stage"], jump["rope_theta"]) for jump in jumps] == [("two", [1e4, 5e4]), ("four", [5e4, 5e3])]
    starts = {record["stage"]: record["loss"] for record in records if record.get("at") == "start"}
    for jump in jumps:
        assert jump["loss"][1] == starts[jump["stage"]]
        assert jump["loss"][0] != jump["loss"][1]
