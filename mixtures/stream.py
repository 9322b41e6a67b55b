"""The stream of training sequences: a pure function of the mixture, the token files and one integer.

    stream = Stream.open(load_mixture("demo"), Path("build/demo/tokens"))
    stream.sequence(12_345).tokens    # int64 [context + 1]

Whoever trains decides which positions a rank takes; the sequence at a position is the same for all.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from mixtures.assemble import Chunks, Rules, Window, assembled, parts_of
from mixtures.catalogue import Catalogue
from mixtures.errors import SupplyError
from mixtures.permute import Permutation
from mixtures.roots import TokenRoot, as_root
from mixtures.run import OpenFiles, RunPart, TokenRun
from mixtures.schedule import Schedule, Slot, StageSpan, window_order
from mixtures.spec import Mixture
from mixtures.supply import Supply, open_supplies
from mixtures.windows import Concatenated


@dataclass(frozen=True, kw_only=True)
class Sequence(Window):
    """One training sequence: one window of one component."""

    position: int
    stage: int
    """Index of the stage."""
    component: str
    window: int
    """Number of the window in the component, under this context length."""
    epoch: int


@dataclass(frozen=True, kw_only=True)
class HeldOut(Window):
    """A window of documents that are kept out of training."""

    folders: tuple[str, ...]
    """Token folders that it has tokens of, in order."""


class Stream:
    """All sequences of a mixture over the token files of one root; see `open`."""

    def __init__(
        self, schedule: Schedule, catalogue: Catalogue, supplies: dict[str, Supply], opened: OpenFiles
    ) -> None:
        self.schedule = schedule
        self._catalogue = catalogue
        self._supplies = supplies
        self._opened = opened
        # Here, not when first asked for: in several threads at once Python 3.11 fails to read the header of an .npy.
        self._windows = {(name, T): of.windows(T) for name, of in supplies.items() for T in schedule.contexts(name)}
        self._order = lru_cache(maxsize=1024)(window_order)
        self._rules = {name: self._rules_of(supply) for name, supply in supplies.items()}

    @classmethod
    def open(cls, mixture: Mixture, token_root: Path | TokenRoot) -> Stream:
        """Check everything that the mixture will need, and open it.

        Raises TokenFileError (missing, foreign, cut short), TokenizerError (more than one), SupplyError (too few tokens
        in a component), RecipeError (weights that cannot be scheduled).
        """
        schedule, opened = Schedule(mixture), OpenFiles(as_root(token_root))
        return cls.of(schedule, *open_supplies(schedule, opened), opened)

    @classmethod
    def of(cls, schedule: Schedule, catalogue: Catalogue, supplies: dict[str, Supply], opened: OpenFiles) -> Stream:
        """The stream over supplies that are open already. Raises SupplyError."""
        for supply in supplies.values():
            _check_supply(schedule, supply)
        return cls(schedule, catalogue, supplies, opened)

    def __reduce__(self) -> tuple[type[Stream], tuple[Schedule, Catalogue, dict[str, Supply], OpenFiles]]:
        # For processes that read along: what is checked is not checked again, files are opened anew.
        return type(self), (self.schedule, self._catalogue, self._supplies, self._opened)

    def __len__(self) -> int:
        return len(self.schedule)

    @property
    def spans(self) -> tuple[StageSpan, ...]:
        """Positions and context of each stage."""
        return self.schedule.spans

    @property
    def vocab_size(self) -> int:
        """Size of the tokenizer's vocabulary."""
        return self._catalogue.vocab_size

    @property
    def eod_id(self) -> int:
        """The end-of-document token, which follows every document."""
        return self._catalogue.eod_id

    @property
    def at_once(self) -> int:
        """Sequences that are worth reading at a time, each in a thread of its own."""
        return self._opened.root.at_once

    @property
    def tokenizer_digest(self) -> str:
        """Digest of the tokenizer that made the token files."""
        return self._catalogue.tokenizer

    def sequence(self, position: int) -> Sequence:
        """The sequence at `position`. Raises IndexError outside the mixture."""
        slot = self.schedule.at(position)
        window, epoch = self.window(slot)
        chunks = self._windows[slot.component, slot.context].chunks(window)
        run, rules = self._supplies[slot.component].train, self._rules[slot.component]
        made = assembled(run, chunks, slot.context, rules, self._masked(position))
        return Sequence(
            tokens=made.tokens,
            learned=made.learned,
            lengths=made.lengths,
            position=position,
            stage=slot.stage,
            component=slot.component,
            window=window,
            epoch=epoch,
        )

    def places(self, position: int) -> list[tuple[str, int, int]]:
        """Where the tokens of the sequence at `position` lie, in order: token file, first token, first one after."""
        slot = self.schedule.at(position)
        run = self._supplies[slot.component].train
        chunks = self._windows[slot.component, slot.context].chunks(self.window(slot)[0])
        return [place for chunk in chunks for place in run.cut(*chunk)]

    def documents(self, position: int) -> list[RunPart]:
        """Which documents the sequence at `position` holds, and where, in order."""
        slot = self.schedule.at(position)
        chunks = self._windows[slot.component, slot.context].chunks(self.window(slot)[0])
        return parts_of(self._supplies[slot.component].train, chunks)

    def learns_all_before(self, end: int) -> bool:
        """Whether the loss certainly counts every target before position `end`."""
        rules = self._rules.values()
        return not any(rule.planned or rule.has_skipped for rule in rules) and not self._masked(end - 1)

    def span_of(self, file: str, document: int) -> tuple[int, int]:
        """First token of a document of a token file, and the first one after it."""
        return self._opened.documents(file).span(document)

    def files(self) -> Iterator[tuple[str, str]]:
        """Every component with every token file that it draws from."""
        for name, supply in self._supplies.items():
            for file in supply.train.files:
                yield name, file

    def local(self, name: str) -> Path:
        """Where a file of the token root can be opened."""
        return self._opened.root.local(name)

    def id_of(self, file: str, document: int) -> str:
        """The id of a document of a token file."""
        return self._opened.documents(file).id(document)

    def documents_with_url(self, file: str, key: int) -> list[int]:
        """Numbers of the documents of a token file whose URL has that key."""
        return self._opened.documents(file).with_url_key(key)

    def positions(self, component: str, file: str, first: int, end: int) -> list[int]:
        """Where, in the whole training, tokens `first` up to `end` of a token file are seen, ascending."""
        supply, found = self._supplies[component], set[int]()
        # Under a context in which nothing is drawn from the component there may be no plan of its windows.
        for context in self.schedule.contexts(component):
            windows = self._windows[component, context]
            held = {w for start, stop in supply.train.ranges(file, first, end) for w in windows.holding(start, stop)}
            for window in held:
                found.update(self._positions_of(component, context, window))
        return sorted(found)

    def digest(self, first: int, count: int) -> str:
        """BLAKE2b-128, as hex digits, of the tokens at positions `first` up to `first + count`, as far as there are.

        Targets that the loss does not count are part of it.
        """
        hasher = hashlib.blake2b(digest_size=16)
        for position in range(first, min(first + count, len(self))):
            sequence = self.sequence(position)
            hasher.update(sequence.tokens.astype("<i8").tobytes())
            if sequence.learned is not None and not sequence.learned.all():
                hasher.update(np.packbits(sequence.learned).tobytes())
        return hasher.hexdigest()

    def held_out(self, context: int, limit: int) -> dict[str, list[HeldOut]]:
        """Up to `limit` windows of each component's held-out documents, spread evenly over them.

        A component whose held-out documents do not fill one window is left out.
        """
        found = {}
        for name, supply in self._supplies.items():
            windows = Concatenated(tokens=len(supply.held_out), context=context)
            n = min(len(windows), limit)
            rules = replace(self._rules[name], planned=False)
            chunks = [windows.chunks(i * len(windows) // n) for i in range(n)]
            if chunks:
                found[name] = [_held_out(supply.held_out, c, context, rules) for c in chunks]
        return found

    def window(self, slot: Slot) -> tuple[int, int]:
        """Window and epoch of a slot: the windows of each epoch are drawn in an order of their own."""
        epoch, turn = divmod(slot.count, len(self._windows[slot.component, slot.context]))
        return self._order_of(slot.component, slot.context, epoch).forward(turn), epoch

    def _positions_of(self, component: str, context: int, window: int) -> list[int]:
        """Where a window is seen: once in each epoch, as far as training goes."""
        n, found = len(self._windows[component, context]), []
        drawn = max(
            (s.count_before(component, s.end) for s in self.schedule.segments if s.context == context), default=0
        )
        for epoch in range(-(-drawn // n)):
            turn = self._order_of(component, context, epoch).inverse(window)
            position = self.schedule.position(component, context, epoch * n + turn)
            if position is not None:
                found.append(position)
        return found

    def _order_of(self, component: str, context: int, epoch: int) -> Permutation:
        n = len(self._windows[component, context])
        return self._order(n, self.schedule.mixture.seed, component, context, epoch)

    def _rules_of(self, supply: Supply) -> Rules:
        mixture = self.schedule.mixture
        return Rules(
            padding_id=self.eod_id,
            parts_documents=mixture.parts_documents,
            has_skipped=supply.has_skipped,
            planned=mixture.packing == "best_fit",
        )

    def _masked(self, position: int) -> frozenset[str]:
        """Documents that count for nothing at `position`."""
        if not self._masks:
            return frozenset()
        number = bisect_right(self._masks, position, key=lambda mask: mask[0])
        return self._masks[number - 1][1] if number else frozenset()

    @cached_property
    def _masks(self) -> list[tuple[int, frozenset[str]]]:
        """From which position on which documents count for nothing."""
        masks, ids = [], frozenset[str]()
        for change in self.schedule.mixture.changes:
            if change.mask is not None:
                ids |= change.mask.ids()
                masks.append((change.at, ids))
        return masks


def _held_out(run: TokenRun, chunks: Chunks, context: int, rules: Rules) -> HeldOut:
    made = assembled(run, chunks, context, rules, frozenset())
    files = (file for chunk in chunks for file, _, _ in run.cut(*chunk))
    folders = tuple(dict.fromkeys(file.rpartition("/")[0] for file in files))
    return HeldOut(tokens=made.tokens, learned=made.learned, lengths=made.lengths, folders=folders)


def _check_supply(schedule: Schedule, supply: Supply) -> None:
    """Refuse a component that cannot give what the schedule will ask of it."""
    component, available = supply.component, len(supply.train)
    for span in schedule.spans:
        if component.name in schedule.sequences(span.index) and not len(supply.windows(span.context)):
            raise SupplyError(
                f"component {component.name!r}: {available} tokens to train on do not fill a window of {span.context} "
                f"(stage {span.name}); add documents or take it out of the recipe"
            )
    epochs = schedule.epochs(component.name, available, lambda context: len(supply.windows(context)))
    if epochs > component.max_epochs:
        raise SupplyError(
            f"component {component.name!r}: the stages want {float(epochs):.4g} epochs of its {available} tokens, "
            f"above max_epochs ({component.max_epochs}); add documents, lower its weight or raise max_epochs"
        )
