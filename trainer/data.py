"""The torch side of the mixture's stream: which sequences a step takes, and this process's part of them.

Steps are a pure function of the stage lengths and the batch ramps; the run's whole state is the number of sequences
already taken. A step never spans stages: the last one of a stage takes what is left.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mixtures.assemble import Window
from mixtures.schedule import StageSpan
from mixtures.spec import Mixture
from mixtures.stream import Stream
from trainer.config import StageConfig
from trainer.errors import MismatchError
from trainer.layout import Process
from trainer.loss import IGNORED


@dataclass(frozen=True, kw_only=True)
class Step:
    """The run's `number`th step (from 1) takes the sequences `first` … `first + count - 1`, all of one stage."""

    number: int
    stage: int
    context: int
    first: int
    count: int

    @property
    def tokens(self) -> int:
        """Tokens predicted in this step."""
        return self.count * self.context

    @property
    def end(self) -> int:
        """The position after this step."""
        return self.first + self.count


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive steps of one batch size; the last may be shorter. It takes the sequences from `first` to `end`."""

    stage: int
    context: int
    steps_before: int
    first: int
    end: int
    batch: int

    @property
    def steps(self) -> int:
        """How many."""
        return -(-(self.end - self.first) // self.batch)

    def step(self, number: int) -> Step:
        """The run's `number`th step, which is one of these."""
        first = self.first + (number - 1 - self.steps_before) * self.batch
        count = min(self.batch, self.end - first)
        return Step(number=number, stage=self.stage, context=self.context, first=first, count=count)


class StepPlan:
    """All steps of a run; each is found in O(log stretches of equal batch)."""

    def __init__(self, spans: Sequence[StageSpan], stages: Sequence[StageConfig]) -> None:
        self._stretches: list[Stretch] = []
        for span, stage in zip(spans, stages, strict=True):
            self._add(span, stage)

    def __len__(self) -> int:
        last = self._stretches[-1]
        return last.steps_before + last.steps

    @property
    def stretches(self) -> Sequence[Stretch]:
        """The runs of equal batches, in order; a stage has one or more."""
        return self._stretches

    def step(self, number: int) -> Step:
        """The `number`th step, from 1. Raises IndexError."""
        if not 1 <= number <= len(self):
            raise IndexError(f"step {number} of {len(self)}")
        index = bisect_left(self._stretches, number, key=lambda stretch: stretch.steps_before) - 1
        return self._stretches[index].step(number)

    def at(self, position: int) -> Step:
        """The step that takes the sequence at `position`. Raises IndexError."""
        if not 0 <= position < self._stretches[-1].end:
            raise IndexError(f"position {position} of {self._stretches[-1].end}")
        stretch = self._stretches[bisect_right(self._stretches, position, key=lambda stretch: stretch.first) - 1]
        return stretch.step(stretch.steps_before + (position - stretch.first) // stretch.batch + 1)

    def following(self, position: int) -> Iterator[Step]:
        """The steps from `position` to the end of the run; where it stands within a step, first the rest of that."""
        while position < self._stretches[-1].end:
            step = self.at(position)
            yield replace(step, first=position, count=step.end - position)
            position = step.end

    def sequences_of(self, position: int, steps: int) -> int:
        """How many sequences the next steps from `position` take, as far as there are so many."""
        return sum(step.count for step in islice(self.following(position), steps))

    def _add(self, span: StageSpan, stage: StageConfig) -> None:
        first, end = span.first, span.end
        limits = [size.from_tokens for size in stage.batch[1:]]
        for batch, limit in zip(stage.batch, [*limits, None], strict=True):
            stop = end if limit is None else min(_first_start(first, batch.sequences, span, limit), end)
            if stop > first:
                before = len(self) if self._stretches else 0
                self._stretches.append(
                    Stretch(
                        stage=span.index,
                        context=span.context,
                        steps_before=before,
                        first=first,
                        end=stop,
                        batch=batch.sequences,
                    )
                )
                first = stop


def _first_start(first: int, batch: int, span: StageSpan, from_tokens: int) -> int:
    """First start of a step of `batch` sequences, counted from `first`, at or after `from_tokens` of the stage."""
    wanted = span.first - (-from_tokens // span.context)
    return first + batch * max(-(-(wanted - first) // batch), 0)


def tokens_before(spans: Sequence[StageSpan], position: int) -> int:
    """Tokens predicted by the sequences before `position`."""
    return sum((min(max(position, span.first), span.end) - span.first) * span.context for span in spans)


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """Inputs and targets of one forward pass, each [B, T]; B may be 0."""

    inputs: Tensor
    targets: Tensor
    """`IGNORED` where the loss does not count them."""
    documents: Tensor | None = None
    """[B, T]: number of the document that an input belongs to, where attention keeps within documents."""
    positions: Tensor | None = None
    """[B, T]: place of an input in its document, where positions are counted from there."""
    places: Tensor | None = None
    """[T]: place of these inputs in their sequences, where other processes have the rest of them."""

    def logits(self, model: nn.Module) -> Tensor:
        """The model's logits for the inputs."""
        found: Tensor = model(self.inputs, self.documents, self.positions, self.places)
        return found

    def parted(self, process: Process) -> MicroBatch:
        """What of it is this process's, where others hold parts of the same sequences. Raises MismatchError.

        Tensor ranks without a sequence get one that counts for nothing: torch 2.13 reshapes a divided tensor of no rows
        for ever.
        """
        batch = self._filled() if process.tensor_world > 1 and not len(self.inputs) else self
        if process.context_world == 1:
            return batch
        places = context_places(self.inputs.shape[1], process)
        return replace(batch._mapped(lambda tensor: tensor[:, places].contiguous()), places=places)

    def _filled(self) -> MicroBatch:
        """One sequence of which no target counts."""
        row = self._mapped(lambda tensor: tensor.new_zeros((1, tensor.shape[1])))
        return replace(row, targets=torch.full_like(row.targets, IGNORED))

    def to(self, device: torch.device) -> MicroBatch:
        """The same on `device`; from pinned memory the copy goes on while the caller does other things."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> MicroBatch:
        """The same in pinned memory, from which a GPU fetches by itself."""
        return self._mapped(Tensor.pin_memory)

    def tensors(self) -> dict[str, Tensor]:
        """What there is, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> MicroBatch:
        return replace(self, **{name: change(tensor) for name, tensor in self.tensors().items()})


def share(count: int, process: Process) -> range:
    """This process's part of `count` rows: contiguous, sizes differing by at most one."""
    rank, world = process.data_rank, process.data_world
    return range(count * rank // world, count * (rank + 1) // world)


def micro_batches(rows: Sequence[int], width: int, passes: int) -> Iterator[Sequence[int]]:
    """Cut `rows` into `passes` runs of at most `width`; the last ones may be empty."""
    return (rows[i * width : (i + 1) * width] for i in range(passes))


def passes(count: int, width: int, process: Process) -> int:
    """Forward passes that every process makes for `count` rows: the same for all, since each is a collective."""
    largest_share = math.ceil(count / process.data_world)
    return math.ceil(largest_share / width)


def positions_of(step: Step, process: Process) -> list[int]:
    """Positions of the sequences of a step that are this process's part."""
    return [step.first + row for row in share(step.count, process)]


def step_batches(stream: Stream, step: Step, width: int, process: Process) -> Iterator[MicroBatch]:
    """This process's part of a step, in forward passes of at most `width` sequences."""
    windows = [stream.sequence(position) for position in positions_of(step, process)]
    return cut(windows, step, stream.schedule.mixture, width, process)


def cut(windows: Sequence[Window], step: Step, mixture: Mixture, width: int, process: Process) -> Iterator[MicroBatch]:
    """The windows that are this process's part of a step, in forward passes of at most `width`."""
    for part in micro_batches(range(len(windows)), width, passes(step.count, width, process)):
        yield micro_batch([windows[row] for row in part], step.context, mixture).parted(process)


def context_places(context: int, process: Process) -> Tensor:
    """Which places of every sequence this process has.

    Cut into twice as many parts as there are processes, each has one from the front and its mirror image from the
    back, so that all have the same number of earlier places to look at. Raises MismatchError.
    """
    world = process.context_world
    if context % (2 * world):
        raise MismatchError(f"layout: context {world} needs contexts that {2 * world} divides, {context} is not one")
    width = context // (2 * world)
    front, back = process.context_rank * width, context - (process.context_rank + 1) * width
    return torch.cat((torch.arange(front, front + width), torch.arange(back, back + width)))


def micro_batch(windows: Sequence[Window], context: int, mixture: Mixture) -> MicroBatch:
    """Windows of T + 1 tokens → inputs and the targets one place on, in the host's memory."""
    tokens = np.stack([window.tokens for window in windows]) if windows else np.empty((0, context + 1), np.int64)
    targets = tokens[:, 1:].copy()
    for row, window in zip(targets, windows, strict=True):
        if window.learned is not None:
            row[~window.learned] = IGNORED
    lengths = [window.lengths for window in windows if window.lengths is not None]
    return MicroBatch(
        inputs=torch.from_numpy(tokens[:, :-1].copy()),
        targets=torch.from_numpy(targets),
        documents=torch.from_numpy(_numbered(lengths, context)) if mixture.attention == "document" else None,
        positions=torch.from_numpy(_placed(lengths, context)) if mixture.positions == "document" else None,
    )


def _numbered(lengths: Sequence[npt.NDArray[np.int64]], context: int) -> npt.NDArray[np.int64]:
    """Documents of the inputs, numbered from 0 in each window: [B, T]."""
    rows = [np.repeat(np.arange(len(row)), row) for row in lengths]
    return np.array(rows, np.int64).reshape(-1, context)


def _placed(lengths: Sequence[npt.NDArray[np.int64]], context: int) -> npt.NDArray[np.int64]:
    """Places of the inputs in their documents, from 0: [B, T]."""
    rows = [np.arange(context) - np.repeat(np.cumsum(row) - row, row) for row in lengths]
    return np.array(rows, np.int64).reshape(-1, context)
