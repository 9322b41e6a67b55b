"""What token files there are for a mixture: tokens of each component, what is missing, and how it fits its windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from mixtures.catalogue import read_catalogue
from mixtures.roots import Folder
from mixtures.run import OpenFiles
from mixtures.schedule import Schedule
from mixtures.spec import Mixture
from mixtures.supply import drawn_from, supplies_of

if TYPE_CHECKING:  # it imports pyarrow, which a machine that only trains need not have
    from mixtures.planning import Fit


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What lies under a token root, seen from a recipe."""

    available: dict[str, int]
    """Tokens to train on of each component that a stage draws from, held-out documents left out."""
    missing: dict[str, tuple[str, ...]]
    """Components some of whose patterns match no token folder, with those patterns."""
    unnamed: dict[str, int]
    """Token folders that no component names, with their tokens."""
    fits: dict[str, tuple[Fit, ...]] = field(default_factory=dict)
    """How each component lies in windows of each context length."""
    unheld: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Masked documents that are in no token file of these components, by number of the log's entry."""

    def fit(self, component: str, context: int) -> Fit | None:
        """How a component lies in windows of one context length, where that is known."""
        return next((fit for fit in self.fits.get(component, ()) if fit.context == context), None)


def holdings(mixture: Mixture, token_root: Path, say: Callable[[str], None] = lambda _: None) -> Holdings:
    """What there is for the mixture; the plan files that training looks up are made where they are missing.

    `say` is told of longer work. Raises TokenFileError, TokenizerError, SupplyError.
    """
    from mixtures.planning import make_plans

    catalogue, schedule = read_catalogue(token_root), Schedule(mixture)
    matching = {c.name: {p: catalogue.matching(p) for p in c.tokens} for c in mixture.all_components}
    missing = {name: tuple(p for p, found in of.items() if not found) for name, of in matching.items()}
    named = {folder for of in matching.values() for folders in of.values() for folder in folders}
    drawn = [component.name for component in drawn_from(schedule)]
    there = _only(schedule, [name for name in drawn if not missing[name]])
    fits = make_plans(there, token_root, say) if there else {}
    # Every token file was held against the catalogue when the plans were made.
    opened = OpenFiles(Folder(token_root))
    supplies = supplies_of(Schedule(there), catalogue, opened) if there else {}
    return Holdings(
        available={name: len(supply.train) for name, supply in supplies.items()},
        missing={name: missing[name] for name in drawn if missing[name]},
        unnamed={folder: catalogue.tokens(folder) for folder in sorted(catalogue.folders) if folder not in named},
        fits=fits,
        unheld=_unheld(mixture, sorted({file for of in supplies.values() for file in of.train.files}), opened, say),
    )


def _unheld(
    mixture: Mixture, files: Sequence[str], opened: OpenFiles, say: Callable[[str], None]
) -> dict[int, tuple[str, ...]]:
    masked = {i: change.mask.ids() for i, change in enumerate(mixture.changes) if change.mask}
    left = set[str]().union(*masked.values())
    if left:
        say(f"looking for {len(left):,} masked document(s) in {len(files):,} token file(s)")
    for file in files:
        if not left:
            break
        left -= opened.documents(file).held(left)
    return {i: tuple(sorted(ids & left)) for i, ids in masked.items() if ids & left}


def _only(schedule: Schedule, names: list[str]) -> Mixture | None:
    """A mixture that draws from these components alone, under the same contexts, in order to ask what they hold."""
    stages = []
    for i, stage in enumerate(schedule.mixture.stages):
        weights = {name: Fraction(1) for name in names if name in schedule.sequences(i)}
        if weights:
            stages.append(replace(stage, weights=weights, out_of=Fraction(len(weights))))
    components = tuple(component for component in schedule.mixture.all_components if component.name in names)
    if not stages:
        return None
    return replace(schedule.mixture, components=components, groups=(), stages=tuple(stages), changes=())
