"""What a plan warns of: what cannot be drawn as the recipe says, and what is left lying."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from mixtures.demand import Demand
from mixtures.interleave import integer_weights
from mixtures.log import Change
from mixtures.spec import Stage

_UNSEEN: Final = Fraction(1, 100)
"""Share of a component's tokens that may stay unseen without a warning."""


def warnings(demand: Demand) -> Iterator[str]:
    """What a user should know before starting, a line each."""
    yield from _rounded(demand)
    yield from _unfit(demand)
    yield from _passed(demand)
    yield from _never_seen(demand)
    yield from _unused(demand)
    yield from _unheld(demand)


def _rounded(demand: Demand) -> Iterator[str]:
    """Shares that the schedule's finest fraction could not express."""
    weighed: list[tuple[str, Stage | Change]] = [(stage.name, stage) for stage in demand.mixture.stages]
    weighed += [(f"from {change.at} on", change) for change in demand.mixture.changes if change.weights]
    for where, what in weighed:
        shares = demand.mixture.shares(what)
        weights = integer_weights(shares)
        for name, share in shares.items():
            if share * sum(weights.values()) != weights[name]:
                yield f"{where}: {name}: {share} is scheduled as {weights[name]}/{sum(weights.values())}"


def _unfit(demand: Demand) -> Iterator[str]:
    """Components without tokens, or without a whole window where one is wanted."""
    for name, patterns in demand.found.missing.items():
        yield f"{name}: no token folder matches {', '.join(patterns)}; tokenise it or take it out of the recipe"
    for name, there in demand.found.available.items():
        contexts = [s.context for s, of in zip(demand.schedule.spans, demand.drawn, strict=True) if of.get(name)]
        empty = [context for context in contexts if not demand.windows(name, context)]
        if empty:
            yield f"{name}: {there:,} tokens do not fill one window of {max(empty):,}; add documents"


def _passed(demand: Demand) -> Iterator[str]:
    """Components of which more epochs are wanted than the recipe allows, and where that begins."""
    for name, there in demand.found.available.items():
        wanted, cap = demand.schedule.tokens(name), demand.mixture.component(name).max_epochs
        if demand.mixture.packing == "best_fit":
            yield from _passed_windows(demand, name, cap)
        elif wanted > cap * there:
            stage, after = demand.passed(name, cap * there)
            epochs = f"{wanted / there:.4g} epochs" if there else "endless epochs"
            yield (
                f"{name}: {epochs} of its {there:,} tokens in all, above max_epochs ({cap}); passed in {stage}, "
                f"after {after:,} tokens of training"
            )


def _passed_windows(demand: Demand, name: str, cap: Fraction) -> Iterator[str]:
    """The same under best-fit packing, where an epoch is all windows."""
    for stage, span in enumerate(demand.schedule.spans):
        if (demand.epochs(name, range(stage + 1)) or 0) > cap:
            yield (
                f"{name}: {float(demand.epochs(name) or 0):.4g} epochs of its windows "
                f"({demand.found.available[name]:,} tokens) in all, above max_epochs ({cap}); passed in {span.name}"
            )
            return


def _never_seen(demand: Demand) -> Iterator[str]:
    for name, there in demand.found.available.items():
        unseen = demand.unseen(name)
        if unseen > there * _UNSEEN:
            about = "about " if len({span.context for span in demand.schedule.spans}) > 1 else ""
            epochs = demand.schedule.tokens(name) / there
            yield f"{name}: {about}{unseen:,} of its {there:,} tokens are never seen ({epochs:.3g} epochs in all)"


def _unused(demand: Demand) -> Iterator[str]:
    """Components that no stage draws from, and tokens that no component names."""
    for component in demand.mixture.all_components:
        if not demand.schedule.contexts(component.name):
            yield f"{component.name}: no stage draws from it; give it a weight or take it out of the recipe"
    for folder, tokens in demand.found.unnamed.items():
        yield f"{folder}: {tokens:,} tokens that no component of the recipe names"


def _unheld(demand: Demand) -> Iterator[str]:
    """Entries of the log that mask what is not there: a list of something else than ids masks nothing."""
    for i, ids in demand.found.unheld.items():
        mask = demand.mixture.changes[i].mask
        of = len(mask.ids()) if mask else 0
        yield (
            f"changes[{i}].mask: {len(ids):,} of its {of:,} documents are in no token file that is drawn from, "
            f"{ids[0]!r} among them; give ids as `falconmix trace` shows them"
        )
