"""Lineage of a run: the documents of one of its steps, and the steps in which a page is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mixtures.document_index import UrlKey
from mixtures.log import Change
from mixtures.roots import TokenRoot, as_root
from mixtures.stream import Stream
from mixtures.strict import load
from mixtures.trace import SameUrl, Seen, Sighting, documents_at, sightings
from trainer import checkpoint, record
from trainer.changes import own_changes, without
from trainer.config import TrainConfig
from trainer.data import Step, StepPlan, positions_of
from trainer.errors import MismatchError
from trainer.layout import Layout, Process


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run's sequences and steps, as its folder records them."""

    stream: Stream
    plan: StepPlan
    world: int | None
    """Processes of the latest checkpoint; None before the first."""
    layout: Layout
    """How the run was spread over its processes when it was last started."""
    root: TokenRoot
    own: tuple[Change, ...]
    """What it passed over by itself, the earliest first."""

    @classmethod
    def open(cls, folder: Path, root_at: Callable[[str], Path | TokenRoot] = Path) -> Run:
        """Open what a run was made of; `root_at` finds a token root by its address, or where it has moved to.

        Raises MismatchError where there is no run or the tokens are of another tokenizer, MixtureError where they are
        gone or damaged.
        """
        written = record.read(folder)
        if written is None:
            raise MismatchError(f"{folder}: holds no run (run.json is missing); give the --output of `falconmix train`")
        identity = written["identity"]
        mixture = record.mixture_of(folder, written)
        recipe = identity["recipe"] | {name: written[name] for name in record.HOW_IT_IS_RUN}
        config = load(TrainConfig, recipe, name=str(folder / "run.json"))
        root = as_root(root_at(written["tokens"]))
        stream = Stream.open(mixture, root)
        if stream.tokenizer_digest != identity["tokenizer"]:
            raise MismatchError(f"{root.shown('')}: not the tokens of this run: of another tokenizer")
        latest = checkpoint.latest(folder / "checkpoints")
        world = checkpoint.read_state(latest).world if latest else None
        return cls(
            stream=stream,
            plan=StepPlan(stream.spans, config.stages),
            world=world,
            layout=config.layout,
            root=root,
            own=own_changes(folder),
        )

    def step(self, number: int) -> Step:
        """The `number`th step. Raises MismatchError outside the run."""
        if not 1 <= number <= len(self.plan):
            raise MismatchError(f"step {number}: the run has the steps 1 to {len(self.plan)}; give one of them")
        return self.plan.step(number)

    def gone_back_from(self, number: int) -> list[tuple[str, Run]]:
        """Why the run went back from a step, each time, and the run as it was until then.

        Raises MismatchError where it never did.
        """
        step, found = self.step(number), []
        for i, change in enumerate(self.own):
            if change.at <= step.first < change.at + change.skip:
                mixture = without(self.stream.schedule.mixture, self.own[i:])
                found.append((change.reason, replace(self, stream=Stream.open(mixture, self.root))))
        if not found:
            raise MismatchError(f"step {number}: the run has not gone back from it; leave --passed-over out")
        return found

    def process(self, rank: int, world: int) -> Process:
        """One of `world` processes, in the run's layout. Raises MismatchError where it does not fit that many."""
        return Process(rank=rank, world=world).laid_out(self.layout)

    def documents(self, step: Step, process: Process) -> list[Seen]:
        """What one of the processes sees in a step, or all of them where there is one."""
        return documents_at(self.stream, positions_of(step, process))

    def sightings(self, url: str, url_key: UrlKey, same: SameUrl) -> Iterator[tuple[Sighting, list[int]]]:
        """Every document with that URL, and the steps that see it."""
        for sighting in sightings(self.stream, url, url_key, same):
            yield sighting, sorted({self.plan.at(position).number for position in sighting.positions})
