"""The stream of training sequences: a pure function of the mixture, the token files and one integer.

    stream = Stream.open(load_mixture("demo"), Path("build/demo/tokens"))
    stream.sequence(12_345).tokens    # int64 [context + 1]

Whoever trains decides which positions a rank takes; the sequence at a position is the same for all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtures.catalogue import Catalogue
from mixtures.errors import SupplyError
from mixtures.permute import Permutation
from mixtures.schedule import Schedule, Slot, StageSpan
from mixtures.spec import Mixture
from mixtures.supply import Supply, open_supplies


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """One training sequence: one window of one component."""

    position: int
    stage: int
    """Index of the stage."""
    component: str
    window: int
    """Number of the window in the component, under this context length."""
    epoch: int
    tokens: npt.NDArray[np.int64]
    """[context + 1]: inputs are all but the last, targets all but the first."""


class Stream:
    """All sequences of a mixture over the token files of one root; see `open`."""

    def __init__(self, schedule: Schedule, catalogue: Catalogue, supplies: dict[str, Supply]) -> None:
        self.schedule = schedule
        self._catalogue = catalogue
        self._supplies = supplies

    @classmethod
    def open(cls, mixture: Mixture, token_root: Path) -> Stream:
        """Check everything that the mixture will need, and open it.

        Raises TokenFileError (missing, foreign, cut short), TokenizerError (more than one), SupplyError (too few tokens
        in a component), RecipeError (weights that cannot be scheduled).
        """
        schedule = Schedule(mixture)
        catalogue, supplies = open_supplies(mixture, token_root)
        for supply in supplies.values():
            _check_supply(schedule, supply)
        return cls(schedule, catalogue, supplies)

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
    def tokenizer_digest(self) -> str:
        """Digest of the tokenizer that made the token files."""
        return self._catalogue.tokenizer

    def sequence(self, position: int) -> Sequence:
        """The sequence at `position`. Raises IndexError outside the mixture."""
        slot = self.schedule.at(position)
        window, epoch = self._window(slot)
        run = self._supplies[slot.component].train
        return Sequence(
            position=position,
            stage=slot.stage,
            component=slot.component,
            window=window,
            epoch=epoch,
            tokens=run.read(window * slot.context, slot.context + 1),
        )

    def documents(self, position: int) -> list[tuple[str, int, int]]:
        """Which documents the sequence at `position` holds: (id, first, end) in tokens of the sequence, in order."""
        slot = self.schedule.at(position)
        window, _ = self._window(slot)
        return self._supplies[slot.component].train.documents(window * slot.context, slot.context + 1)

    def digest(self, first: int, count: int) -> str:
        """BLAKE2b-128, as hex digits, of the tokens at positions `first` up to `first + count`, as far as there are."""
        hasher = hashlib.blake2b(digest_size=16)
        for position in range(first, min(first + count, len(self))):
            hasher.update(self.sequence(position).tokens.astype("<i8").tobytes())
        return hasher.hexdigest()

    def held_out(self, context: int, limit: int) -> dict[str, npt.NDArray[np.int64]]:
        """Up to `limit` windows of each component's held-out documents, spread evenly over them: [n, context + 1].

        A component whose held-out documents do not fill one window is left out.
        """
        found = {}
        for name, supply in self._supplies.items():
            windows = max(0, len(supply.held_out) - 1) // context
            n = min(windows, limit)
            starts = [i * windows // n * context for i in range(n)]
            if starts:
                found[name] = np.stack([supply.held_out.read(start, context + 1) for start in starts])
        return found

    def _window(self, slot: Slot) -> tuple[int, int]:
        """Window and epoch of a slot: the windows of each epoch are drawn in an order of their own."""
        windows = self._supplies[slot.component].windows(slot.context)
        epoch, turn = divmod(slot.count, windows)
        key = (self.schedule.mixture.seed, slot.component, slot.context, epoch)
        return Permutation(windows, key).forward(turn), epoch


def _check_supply(schedule: Schedule, supply: Supply) -> None:
    """Refuse a component that cannot give what the schedule will ask of it."""
    component, available = supply.component, len(supply.train)
    for span in schedule.spans:
        if component.name in schedule.sequences(span.index) and not supply.windows(span.context):
            raise SupplyError(
                f"component {component.name!r}: {available} tokens to train on do not fill a window of {span.context} "
                f"(stage {span.name}); add documents or take it out of the recipe"
            )
    epochs = schedule.tokens(component.name) / max(1, available)
    if epochs > component.max_epochs:
        raise SupplyError(
            f"component {component.name!r}: the stages want {epochs:.4g} epochs of its {available} tokens, above "
            f"max_epochs ({component.max_epochs}); add documents, lower its weight or raise max_epochs"
        )
