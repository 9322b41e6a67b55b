from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.schedule import StageSpan
from mixtures.spec import load_mixture
from mixtures.stream import Stream
from trainer.config import BatchSize, Rate, StageConfig, load_recipe
from trainer.data import Step, StepPlan, share, step_batches, tokens_before
from trainer.layout import Process


def stage(*batch: tuple[int, int]) -> StageConfig:
    sizes = tuple(BatchSize(from_tokens=tokens, sequences=sequences) for tokens, sequences in batch)
    return StageConfig(
        name="any", rope_theta=1e4, tied=True, adam_eps=1e-8, rate=Rate(peak=1.0, floor=1.0), batch=sizes
    )


def spans(*lengths: tuple[int, int]) -> list[StageSpan]:
    """Spans of (sequences, context)."""
    found, first = [], 0
    for index, (sequences, context) in enumerate(lengths):
        found.append(StageSpan(index=index, name="any", context=context, first=first, end=first + sequences))
        first += sequences
    return found


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[StageSpan], list[StageConfig]]:
    lengths = draw(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), min_size=1, max_size=4))
    stages = []
    for _ in lengths:
        later = sorted(draw(st.sets(st.integers(1, 400), max_size=4)))
        stages.append(stage(*((tokens, draw(st.integers(1, 20))) for tokens in [0, *later])))
    return spans(*lengths), stages


@settings(max_examples=200, deadline=None)
@given(plans())
def test_steps_take_every_sequence_once_and_follow_the_ramp(plan: tuple[list[StageSpan], list[StageConfig]]) -> None:
    """Against the definition: step by step, the batch is that of the tokens of the stage seen so far."""
    stretch, stages = plan
    steps, position = StepPlan(stretch, stages), 0
    for number in range(1, len(steps) + 1):
        (span,) = (span for span in stretch if span.first <= position < span.end)
        seen = (position - span.first) * span.context
        batch = [size.sequences for size in stages[span.index].batch if size.from_tokens <= seen][-1]
        count = min(batch, span.end - position)
        expected = Step(number=number, stage=span.index, context=span.context, first=position, count=count)
        assert steps.step(number) == expected
        position += count
    assert position == stretch[-1].end
    with pytest.raises(IndexError):
        steps.step(len(steps) + 1)


def test_the_ramp_of_the_published_run() -> None:
    """Batch sizes double four times, and each stage's last step is what is left."""
    config, mixture = load_recipe("falcon2-11b"), load_mixture("falcon2-11b")
    lengths = [(stage.sequences, stage.context) for stage in mixture.stages]
    steps = StepPlan(spans(*lengths), config.stages)
    sizes = [steps.step(number).count for number in (1, 12_000, 24_000, 45_000, 75_000, 120_000)]
    assert sizes == [2048, 4096, 8192, 16384, 32768, 16384]
    last = steps.step(len(steps))
    assert (last.stage, last.end) == (3, sum(sequences for sequences, _ in lengths))
    assert tokens_before(spans(*lengths), last.end) - 5_500_000_000_000 < sum(context for _, context in lengths)


@given(st.integers(0, 200), st.integers(1, 33))
def test_shares_are_contiguous_complete_and_even(count: int, world: int) -> None:
    parts = [share(count, Process(rank=rank, world=world)) for rank in range(world)]
    assert [row for part in parts for row in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("width", [1, 4, 64])
def test_processes_together_see_the_step_in_equally_many_passes(
    recipe: Path, tokens: Path, world: int, width: int
) -> None:
    stream = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)
    step = Step(number=1, stage=1, context=32, first=130, count=5)
    batches = [list(step_batches(stream, step, width, Process(rank=rank, world=world))) for rank in range(world)]
    assert len({len(part) for part in batches}) == 1
    inputs = torch.cat([batch.inputs for part in batches for batch in part])
    targets = torch.cat([batch.targets for part in batches for batch in part])
    windows = np.stack([stream.sequence(position).tokens for position in range(130, 135)])
    assert np.array_equal(inputs.numpy(), windows[:, :-1])
    assert np.array_equal(targets.numpy(), windows[:, 1:])
