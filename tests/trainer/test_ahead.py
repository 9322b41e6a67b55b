import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist

from mixtures.spec import load_mixture
from mixtures.stream import Stream
from trainer.ahead import digest_ahead
from trainer.config import load_recipe
from trainer.data import StepPlan
from trainer.layout import Layout, Process


@pytest.fixture
def stream(recipe: Path, tokens: Path) -> Stream:
    return Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)


def digest(patch: pytest.MonkeyPatch, stream: Stream, first: int, count: int, *processes: Process) -> str:
    """What these processes find together; each is told, in the end, what the others have sent."""
    sent: list[Any] = []

    def gathered(parts: list[Any], part: Any) -> None:
        sent.append(part)
        parts[: len(sent)] = sent

    patch.setattr(dist, "all_gather_object", gathered)
    return [digest_ahead(stream, first, count, process) for process in processes][-1]


def test_any_number_of_processes_in_any_layout_finds_the_same(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = digest(monkeypatch, stream, 20, 7, Process())
    assert len(alone) == 32
    for layout in (Layout(), Layout(tensor=2), Layout(context=2, tensor=2), Layout(replicate=4)):
        processes = [Process(rank=rank, world=8).laid_out(layout) for rank in range(8)]
        assert digest(monkeypatch, stream, 20, 7, *processes) == alone
    assert digest(monkeypatch, stream, 20, 0, Process()) == ""


def test_each_sequence_counts_and_so_does_its_place(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {digest(monkeypatch, stream, first, count, Process()) for first, count in ((20, 7), (20, 6), (21, 6))}
    assert len(found) == 3
    swapped = {20: 21, 21: 20}
    plain = digest(monkeypatch, stream, 20, 2, Process())
    of_stream = stream.digest
    monkeypatch.setattr(stream, "digest", lambda first, count: of_stream(swapped[first], count))
    assert digest(monkeypatch, stream, 20, 2, Process()) != plain


def test_a_token_of_the_last_of_the_next_batches_counts(
    recipe: Path, tokens: Path, stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four hold 18, 18, 35 and, in the stage that follows, 12 sequences."""
    plan = StepPlan(stream.spans, load_recipe(recipe).stages)
    position = plan.step(6).first
    count = plan.sequences_of(position, 4)
    assert count == 18 + 18 + 35 + 12
    assert plan.sequences_of(len(stream) - 1, 3) == 1 and plan.sequences_of(len(stream), 3) == 0
    changed = tmp_path / "tokens"
    shutil.copytree(tokens, changed)
    file, first, _ = stream.places(position + count - 1)[0]
    content = np.memmap(changed / file, dtype="<u2", mode="r+", offset=128)
    content[first] ^= 1
    content.flush()
    other = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), changed)
    assert digest(monkeypatch, other, position, count, Process()) != digest(
        monkeypatch, stream, position, count, Process()
    )
