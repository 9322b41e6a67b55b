"""The same global sequence whoever reads it: any ranks, workers, restarts; and reading ahead of the training loop."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from mixtures.document_index import open_documents
from mixtures.errors import TokenFileError
from mixtures.log import MaskedDocuments
from mixtures.planning import make_plans
from mixtures.spec import Mixture, load_mixture
from mixtures.stream import Sequence as Row
from mixtures.stream import Stream
from mixtures.strict import load
from mixtures.tokens import read_header
from tests.trainer.corpus import FOLDERS, write_recipe, write_tokens
from trainer import loader
from trainer.config import BatchSize, Rate, StageConfig
from trainer.data import MicroBatch, StepPlan, micro_batch, positions_of, step_batches
from trainer.layout import Process
from trainer.loader import AHEAD, StepDataset, StepsAhead

Items = list[dict[str, Any]]
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def stages(batches: Sequence[Sequence[tuple[int, int]]]) -> list[StageConfig]:
    """Stages whose batches are given as (from_tokens, sequences)."""
    return [
        StageConfig(
            name=f"s{i}",
            rope_theta=1e4,
            tied=True,
            adam_eps=1e-8,
            rate=Rate(peak=1.0, floor=1.0),
            batch=tuple(BatchSize(from_tokens=tokens, sequences=sequences) for tokens, sequences in batch),
        )
        for i, batch in enumerate(batches)
    ]


@st.composite
def weights(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """Weights of some components, and their sum."""
    names = draw(st.lists(st.sampled_from(["c0", "c1", "c2", "c3", "c4"]), min_size=1, max_size=4, unique=True))
    given = {name: draw(st.integers(1, 9)) for name in names}
    return given, sum(given.values())


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """Several components and stages, either packing, parted documents or not, and a log."""
    sources = [
        {"name": f"c{i}", "kind": "other", "tokens": [folder], "max_epochs": 1000} for i, folder in enumerate(FOLDERS)
    ]
    made: list[dict[str, Any]] = []
    for i in range(draw(st.integers(1, 3))):
        given, out_of = draw(weights())
        context, sequences = draw(st.sampled_from([4, 8, 16, 32])), draw(st.integers(1, 40))
        made.append(
            {"name": f"s{i}", "context": context, "tokens": context * sequences, "weights": given, "out_of": out_of}
        )
    length = sum(stage["tokens"] // stage["context"] for stage in made)
    log: list[dict[str, Any]] = []
    for at in sorted(draw(st.sets(st.integers(0, length - 1), max_size=3))):
        entry = {"at": at, "reason": "any", "skip": draw(st.integers(0, 50))}
        if draw(st.booleans()):
            entry["weights"], entry["out_of"] = draw(weights())
        if draw(st.booleans()) or entry == {"at": at, "reason": "any", "skip": 0}:
            entry["mask"] = {"documents": ["any"]}
        log.append(entry)
    return load(
        Mixture,
        {
            "name": "any",
            "seed": draw(st.integers(0, 99)),
            "held_out": str(draw(st.sampled_from([Fraction(0), Fraction(1, 8)]))),
            "components": sources,
            "stages": made,
            "packing": draw(st.sampled_from(["concatenate", "best_fit"])),
            "attention": draw(st.sampled_from(["window", "document"])),
            "positions": draw(st.sampled_from(["window", "document"])),
            "changes": log,
        },
    )


@st.composite
def runs(draw: st.DrawFn) -> tuple[Mixture, list[StageConfig]]:
    """A mixture and the ramps with which it is trained."""
    mixture = draw(mixtures())
    batches = []
    for _ in mixture.stages:
        later = sorted(draw(st.sets(st.integers(1, 400), max_size=2)))
        batches.append([(tokens, draw(st.integers(1, 12))) for tokens in [0, *later]])
    return mixture, stages(batches)


def opened(run: tuple[Mixture, list[StageConfig]], tokens: Path) -> tuple[Stream, StepPlan]:
    """The stream, with every third document in place of those that the log masks."""
    mixture, ramps = run
    masks = MaskedDocuments(documents=tuple(every_third(tokens)))
    changes = [replace(change, mask=change.mask and masks) for change in mixture.changes]
    mixture = replace(mixture, changes=tuple(changes))
    if mixture.packing == "best_fit":
        make_plans(mixture, tokens)
    stream = Stream.open(mixture, tokens)
    return stream, StepPlan(stream.spans, ramps)


@lru_cache
def every_third(tokens: Path) -> list[str]:
    """Ids of documents in all folders."""
    files = [path for folder in FOLDERS for path in (tokens / folder).glob("*.tokens")]
    indexes = [open_documents(path, read_header(path)) for path in files]
    return [index.id(number) for index in indexes for number in range(0, len(index), 3)]


def rows(part: dict[str, torch.Tensor]) -> list[list[list[int]]]:
    """What an item holds of each of its sequences."""
    names = [name for name in ("inputs", "targets", "documents", "positions") if name in part]
    return [[part[name][row].tolist() for name in names] for row in range(len(part["inputs"]))]


def whole(stream: Stream) -> list[list[list[int]]]:
    """The global sequence, read one position after the other."""
    found = []
    for position in range(len(stream)):
        sequence = stream.sequence(position)
        found += rows(micro_batch([sequence], len(sequence.tokens) - 1, stream.schedule.mixture).tensors())
    return found


def as_worker(dataset: StepDataset, worker: int, workers: int) -> Iterator[dict[str, Any]]:
    """What DataLoader's worker number `worker` reads."""
    items = iter(dataset)
    while True:
        with mock.patch.object(loader, "get_worker_info", return_value=SimpleNamespace(id=worker, num_workers=workers)):
            item = next(items, None)
        if item is None:
            return
        yield item


def in_turns(stream: Stream, plan: StepPlan, workers: int, **options: int) -> Iterator[dict[str, Any]]:
    """Items as DataLoader takes them from its workers."""
    if not workers:
        yield from StepDataset(stream, plan, **options)
        return
    copies = [as_worker(StepDataset(stream, plan, **options), worker, workers) for worker in range(workers)]
    for copy in itertools.cycle(copies):
        item = next(copy, None)
        if item is None:
            return
        yield item


def test_masks_are_seen(tokens: Path) -> None:
    """What the random mixtures below rely on."""
    weighed = {"name": "s0", "context": 8, "tokens": 800, "weights": {"c0": 1}}
    source = {"name": "c0", "kind": "other", "tokens": [FOLDERS[0]], "max_epochs": 9}
    log = [{"at": 50, "reason": "any", "mask": {"documents": ["any"]}}]
    mixture = load(
        Mixture,
        {"name": "m", "seed": 1, "held_out": 0, "components": [source], "stages": [weighed], "changes": log},
    )
    stream, _ = opened((mixture, stages([[(0, 4)]])), tokens)
    learned = [stream.sequence(position).learned for position in range(len(stream))]
    assert all(row is None for row in learned[:50])
    assert {bool(target) for row in learned[50:] if row is not None for target in row} == {True, False}


@FEW
@given(run=runs(), legs=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 3), st.integers(1, 6)), max_size=4))
def test_ranks_workers_and_restarts_leave_the_global_sequence_alone(
    tokens: Path, run: tuple[Mixture, list[StageConfig]], legs: list[tuple[int, int, int]]
) -> None:
    """Legs of a training with as many ranks, workers and steps each; the last one goes on to the end."""
    stream, plan = opened(run, tokens)
    found, position = [], 0
    for world, workers, steps in [*legs, (1, 0, len(stream))]:
        ranks = [in_turns(stream, plan, workers, rank=rank, world=world, position=position) for rank in range(world)]
        for parts in itertools.islice(zip(*ranks, strict=True), steps):
            assert len({(part["step"], part["position"]) for part in parts}) == 1
            found += [row for part in parts for row in rows(part)]
            position = parts[0]["position"]
        assert len(found) == position
    assert found == whole(stream)


@FEW
@given(run=runs(), data=st.data())
def test_any_position_can_be_gone_on_from(
    tokens: Path, run: tuple[Mixture, list[StageConfig]], data: st.DataObject
) -> None:
    """Also one within a step: the rest of the step is the first step then."""
    stream, plan = opened(run, tokens)
    position, workers = data.draw(st.integers(0, len(stream))), data.draw(st.integers(0, 3))
    found = [row for item in in_turns(stream, plan, workers, position=position) for row in rows(item)]
    assert found == whole(stream)[position:]
    dataset = StepDataset(stream, plan)
    dataset.load_state_dict({"position": position})
    assert dataset.state_dict() == {"position": position}
    for item in dataset:
        assert dataset.state_dict() == {"position": item["position"]}
        assert item["step"] == plan.at(item["position"] - 1).number
    assert dataset.state_dict() == {"position": len(stream)}


@FEW
@given(run=runs(), world=st.integers(1, 8), width=st.integers(1, 9), data=st.data())
def test_steps_read_ahead_are_those_of_the_plan(
    tokens: Path, run: tuple[Mixture, list[StageConfig]], world: int, width: int, data: st.DataObject
) -> None:
    stream, plan = opened(run, tokens)
    process = Process(rank=data.draw(st.integers(0, world - 1)), world=world)
    first = data.draw(st.integers(1, len(plan)))
    with StepsAhead(stream, plan, process, width=width, position=plan.step(first).first) as ahead:
        for number in range(first, len(plan) + 1):
            loaded = ahead.take()
            assert loaded.step == plan.step(number)
            assert same(loaded.batches, list(step_batches(stream, plan.step(number), width, process)))
        for _ in range(2):
            with pytest.raises(StopIteration):
                ahead.take()


def same(ours: list[MicroBatch], theirs: list[MicroBatch]) -> bool:
    for one, other in zip(ours, theirs, strict=True):
        mine, others = one.tensors(), other.tensors()
        if mine.keys() != others.keys() or not all(torch.equal(mine[name], others[name]) for name in mine):
            return False
    return True


@pytest.fixture(scope="module")
def stream(recipe: Path, tokens: Path) -> Stream:
    return Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)


@pytest.fixture(scope="module")
def plan(stream: Stream) -> StepPlan:
    return StepPlan(stream.spans, stages([[(0, 9), (500, 18)], [(0, 12)], [(0, 5)], [(0, 5)]]))


@pytest.fixture(scope="module")
def expected(stream: Stream, plan: StepPlan) -> Items:
    return list(StepDataset(stream, plan, rank=1, world=3))


def assert_items(found: Items, expected: Items) -> None:
    assert [item.keys() for item in found] == [item.keys() for item in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours["step"], ours["position"]) == (theirs["step"], theirs["position"])
        assert rows(ours) == rows(theirs)


@pytest.mark.parametrize(("workers", "start"), [(0, None), (3, "fork"), (1, "spawn")])
def test_torch_dataloader_keeps_the_order(
    stream: Stream, plan: StepPlan, expected: Items, workers: int, start: str | None
) -> None:
    dataset = StepDataset(stream, plan, rank=1, world=3, position=expected[3]["position"])
    given = DataLoader(dataset, batch_size=None, num_workers=workers, multiprocessing_context=start)
    assert_items(list(given), expected[4:])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 4])
def test_stateful_dataloader_goes_on_where_it_stopped(
    stream: Stream, plan: StepPlan, expected: Items, workers: int, taken: int
) -> None:
    """Stopped when its workers stand at the same step, and when they do not."""
    first = StatefulDataLoader(StepDataset(stream, plan, rank=1, world=3), batch_size=None, num_workers=workers)
    begun = list(itertools.islice(first, taken))
    state = first.state_dict()
    second = StatefulDataLoader(StepDataset(stream, plan, rank=1, world=3), batch_size=None, num_workers=workers)
    second.load_state_dict(state)
    assert_items([*begun, *second], expected)


def test_a_position_outside_the_training_is_refused(stream: Stream, plan: StepPlan) -> None:
    for position in (-1, len(stream) + 1):
        with pytest.raises(ValueError, match=rf"position {position} is outside the mixture's {len(stream)} sequences"):
            StepDataset(stream, plan).load_state_dict({"position": position})
    for position in (-1, len(stream)):
        with pytest.raises(IndexError):
            plan.at(position)


def test_no_more_than_a_few_steps_are_read_ahead(
    stream: Stream, plan: StepPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is read lies within `AHEAD` steps of what was taken; leaving early ends the thread."""
    read, taken = stream.sequence, 0

    def watched(position: int) -> Row:
        assert plan.at(position).number <= taken + AHEAD
        return read(position)

    monkeypatch.setattr(stream, "sequence", watched)
    with StepsAhead(stream, plan, Process(), width=4, position=0) as ahead:
        while taken < 12:
            taken += 1
            assert ahead.take().step.number == taken
    assert not ahead._thread.is_alive()


def test_what_goes_wrong_while_reading_ahead_is_raised_in_the_training_thread(tmp_path: Path) -> None:
    recipe, tokens = write_recipe(tmp_path / "recipe"), write_tokens(tmp_path)
    stream = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens)
    plan = StepPlan(stream.spans, stages([[(0, 9)]] * 4))
    path = tokens / "technical" / "part-00000.tokens"
    path.write_bytes(path.read_bytes()[:200])
    with StepsAhead(stream, plan, Process(), width=4, position=0) as ahead:
        for _ in range(2):
            with pytest.raises(TokenFileError, match=r"technical/part-00000\.tokens: cut short while it was in use"):
                for _ in range(len(plan)):
                    ahead.take()
    assert not ahead._thread.is_alive()


def test_parts_are_those_of_the_ranks(stream: Stream, plan: StepPlan) -> None:
    """The order over ranks that checkpoints and golden losses rely on: contiguous shares, in order of the ranks."""
    step = plan.step(3)
    parts = [positions_of(step, Process(rank=rank, world=4)) for rank in range(4)]
    assert parts == [[18, 19], [20, 21], [22, 23], [24, 25, 26]]
