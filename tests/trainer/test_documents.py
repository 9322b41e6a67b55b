"""Documents within a window: what attention, positions and loss make of them; and the log of the mixture in a run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mixtures.spec import load_mixture
from mixtures.stream import Stream
from tests.trainer.corpus import write_recipe
from tests.trainer.runs import assert_same, final_tensors, untimed
from tests.trainer.test_model import small, with_random_weights
from trainer import checkpoint
from trainer.data import Step, step_batches
from trainer.errors import MismatchError
from trainer.layout import Process
from trainer.loss import IGNORED
from trainer.run import train

Run = Callable[..., Path]
HEAD = "held_out: 1/8\n"


def test_documents_in_one_window_are_as_if_alone() -> None:
    model = with_random_weights(small(kv_heads=2), tied=True)
    tokens = torch.randint(0, 97, (1, 20), generator=torch.Generator().manual_seed(2))
    documents = torch.tensor([[0] * 7 + [1] * 9 + [2] * 4])
    places = torch.tensor([[*range(7), *range(9), *range(4)]])
    with torch.no_grad():
        together = model(tokens, documents, places)
        alone = torch.cat([model(part) for part in tokens.split([7, 9, 4], dim=1)], dim=1)
        rotated_on = model(tokens, documents)
        whole = model(tokens)
    assert (together - alone).abs().max() <= 1e-4
    # Rotary embedding sees differences of positions alone, so that counting on makes no difference within a document.
    assert (together - rotated_on).abs().max() <= 1e-4
    assert (together[:, 7:] - whole[:, 7:]).abs().max() > 1e-2


def test_batches_say_where_documents_are(tokens: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r", (HEAD, f"{HEAD}attention: document\npositions: document\n"))
    stream = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)
    step = Step(number=1, stage=2, context=64, first=170, count=5)
    for batch in step_batches(stream, step, 3, Process()):
        assert batch.documents is not None and batch.positions is not None
        ends = batch.inputs == stream.eod_id
        before = torch.cumsum(ends, dim=1) - ends.long()
        assert torch.equal(batch.documents, before)
        for row, numbers in zip(batch.positions, batch.documents, strict=True):
            counts = torch.unique_consecutive(numbers, return_counts=True)[1].tolist()
            assert row.tolist() == [place for count in counts for place in range(count)]
    empty = list(
        step_batches(stream, Step(number=1, stage=2, context=64, first=170, count=1), 3, Process(rank=0, world=2))
    )
    assert [tuple(b.documents.shape) for b in empty if b.documents is not None] == [(0, 64)]


def test_a_run_with_parted_documents_stops_and_goes_on_bit_by_bit(run: Run, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "r", (HEAD, f"{HEAD}attention: document\npositions: document\n"))
    whole = run(recipe, "whole")
    run(recipe, "parts", stop_after=10)
    assert_same(final_tensors(run(recipe, "parts")), final_tensors(whole))
    held_out = [record["loss"] for record in untimed(whole) if record["kind"] == "held_out"]
    assert held_out[1] < held_out[0]


def test_masked_documents_are_no_targets_and_the_loss_is_a_mean_of_the_others(
    tokens: Path, run: Run, tmp_path: Path
) -> None:
    plain = Stream.open(load_mixture(write_recipe(tmp_path / "p").parent / "mixture.yaml"), tokens)
    ids = sorted({part.part.id for p in range(9, 20) for part in plain.documents(p)})[::2]
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "removed.txt").write_text("\n".join(ids))
    log = "changes: [{at: 9, reason: spam, mask: {file: removed.txt}}]\n"
    recipe = write_recipe(tmp_path / "r", (HEAD, HEAD + log))
    stream = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)
    (first,) = step_batches(stream, Step(number=1, stage=0, context=16, first=0, count=9), 9, Process())
    (second,) = step_batches(stream, Step(number=2, stage=0, context=16, first=9, count=9), 9, Process())
    assert not (first.targets == IGNORED).any()
    assert 0 < int((second.targets == IGNORED).sum()) < second.targets.numel()
    expected = np.stack([plain.sequence(p).tokens[1:] for p in range(9, 18)])
    kept = second.targets != IGNORED
    assert torch.equal(second.targets[kept], torch.from_numpy(expected)[kept])
    losses = [record["loss"] for record in untimed(run(recipe, stop_after=2)) if record["kind"] == "step"]
    unmasked = [record["loss"] for record in untimed(run(write_recipe(tmp_path / "q"), "q", stop_after=2))]
    steps = [loss for loss in unmasked if loss in losses]
    assert losses[0] in steps and losses[1] not in steps
    assert 5 < losses[1] < 7  # about log 320, as of an untrained model: a mean, not a sum over fewer


def test_the_log_may_grow_where_the_run_has_not_been(tokens: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "r")
    train(recipe, tokens=tokens, output=output, stop_after=3)
    position = checkpoint.read_state(checkpoint.found(output)).position
    assert position == 27
    write_recipe(tmp_path / "r", (HEAD, f"{HEAD}changes: [{{at: 26, reason: late, skip: 3}}]\n"))
    before = (output / "run.json").read_bytes()
    with pytest.raises(MismatchError, match="added before position 27, "):
        train(recipe, tokens=tokens, output=output)
    assert (output / "run.json").read_bytes() == before
    write_recipe(tmp_path / "r", (HEAD, f"{HEAD}changes: [{{at: 27, reason: spike, skip: 3}}]\n"))
    assert train(recipe, tokens=tokens, output=output) == 0
    again = tmp_path / "again"
    assert train(recipe, tokens=tokens, output=again) == 0
    assert untimed(again) == untimed(output)
    assert_same(final_tensors(again), final_tensors(output))
