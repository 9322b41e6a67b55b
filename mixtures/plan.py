"""What each stage of a mixture will see: sequences, tokens and epochs of every component, and what to mend beforehand.

mixture = load_mixture("falcon2-11b")
made = plan(mixture, holdings(mixture, tokens), known_values("falcon2-11b"))
print(plan_text(made))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from mixtures.holdings import Holdings
from mixtures.interleave import integer_weights
from mixtures.log import Change
from mixtures.schedule import Schedule, Segment
from mixtures.spec import Mixture, Stage, recipe_path
from mixtures.strict import STATUSES, read_yaml, statuses
from mixtures.supply import drawn_from

_UNSEEN: Final = Fraction(1, 100)
"""Share of a component's tokens that may stay unseen without a warning."""


_HEAD: Final = (
    *("stage", "context", "component", "share", "sequences", "tokens", "available", "epochs", "so far", "left over"),
    *("padding", "cut"),
)


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One component in one stage."""

    stage: str
    context: int
    component: str
    share: float
    """Share of the stage's sequences, as scheduled."""
    share_status: str | None
    """The weakest status among the recipe's values that the share is made of."""
    sequences: int
    tokens: int
    """Tokens that the stage draws."""
    available: int | None
    """Tokens that the component has to train on; None where that is not known."""
    epochs: float | None
    """Times that the stage goes through them."""
    epochs_so_far: float | None
    """The same for all stages up to this one's end."""
    windows: int | None
    """Windows that the component makes under this context: one epoch of them."""
    left_over: int | None
    """Tokens that no window holds, of documents one after another: an incomplete last window."""
    padding: float | None
    """Share of the windows' tokens that are padding."""
    cut: float | None
    """Share of the documents that no window holds whole."""


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """One stage; `first` is the number of training tokens before it."""

    name: str
    context: int
    context_status: str | None
    first: int
    tokens: int
    tokens_status: str | None


@dataclass(frozen=True, kw_only=True)
class ComponentPlan:
    """One component over the whole training."""

    name: str
    kind: str
    tokens: int
    """Tokens that all stages draw from it."""
    available: int | None
    epochs: float | None
    max_epochs: float
    max_epochs_status: str | None
    unseen: int | None
    """Tokens that no stage draws: exact within one context length, where windows are drawn without repetition (and an
    incomplete last one counts as seen), an expectation over several."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole, and what a user should know before starting."""

    name: str
    stages: tuple[StagePlan, ...]
    components: tuple[ComponentPlan, ...]
    rows: tuple[PlanRow, ...]
    warnings: tuple[str, ...]


def known_values(recipe: str | Path) -> dict[str, str]:
    """Status of each marked value of a recipe, by dotted name; `recipe` as for `load_mixture`. Raises RecipeError."""
    return statuses(read_yaml(recipe_path(recipe)))


def plan(mixture: Mixture, found: Holdings | None = None, known: Mapping[str, str] | None = None) -> Plan:
    """Plan `mixture` over what was found, or without knowing it; `known` has the status of values by dotted name.

    Raises RecipeError.
    """
    return _Planner(mixture, found or Holdings(available={}, missing={}, unnamed={}), known or {}).plan()


class _Planner:
    """The numbers of a plan, each from the schedule."""

    def __init__(self, mixture: Mixture, found: Holdings, known: Mapping[str, str]) -> None:
        self.mixture, self.found, self.known = mixture, found, known
        self.schedule = Schedule(mixture)
        self.drawn = [
            {name: n * span.context for name, n in self.schedule.sequences(span.index).items()}
            for span in self.schedule.spans
        ]
        """For each stage, tokens by component."""

    def plan(self) -> Plan:
        rows = tuple(self._row(stage, name) for stage, of_stage in enumerate(self.drawn) for name in of_stage)
        return Plan(
            name=self.mixture.name,
            stages=tuple(self._stages()),
            components=tuple(self._component(component.name) for component in drawn_from(self.schedule)),
            rows=rows,
            warnings=(
                *self._rounded(),
                *self._unfit(),
                *self._passed(),
                *self._never_seen(),
                *self._unused(),
                *self._unheld(),
            ),
        )

    def _row(self, stage: int, component: str) -> PlanRow:
        span, fit = self.schedule.spans[stage], self.found.fit(component, self.schedule.spans[stage].context)
        tokens, there = self.drawn[stage][component], self.found.available.get(component)
        return PlanRow(
            stage=span.name,
            context=span.context,
            component=component,
            share=self._share(stage, component),
            share_status=self._share_status(stage, component),
            sequences=tokens // span.context,
            tokens=tokens,
            available=there,
            epochs=self._epochs(component, [stage]),
            epochs_so_far=self._epochs(component, range(stage + 1)),
            windows=fit.windows if fit else None,
            left_over=(there - 1) % span.context if there and self.mixture.packing == "concatenate" else None,
            padding=fit.padding if fit else None,
            cut=fit.cut if fit else None,
        )

    def _epochs(self, component: str, stages: Iterable[int]) -> float | None:
        """How often some stages go through a component: by tokens, and by windows where padding fills them up."""
        there = self.found.available.get(component)
        if not there:
            return None
        if self.mixture.packing == "concatenate":
            return sum(self.drawn[stage].get(component, 0) for stage in stages) / there
        epochs = 0.0
        for stage in stages:
            context = self.schedule.spans[stage].context
            sequences = self.drawn[stage].get(component, 0) // context
            epochs += sequences / max(1, self._windows(component, context, there)) if sequences else 0.0
        return epochs

    def _share(self, stage: int, component: str) -> float:
        """As scheduled; where the log cuts the stage, what comes of all its parts."""
        if len(list(self.schedule.of_stage(stage))) > 1:
            return self.drawn[stage][component] / sum(self.drawn[stage].values())
        weights = self.schedule.weights(stage)
        return weights[component] / sum(weights.values())

    def _stages(self) -> Iterator[StagePlan]:
        first = 0
        for i, span in enumerate(self.schedule.spans):
            tokens = sum(self.drawn[i].values())
            yield StagePlan(
                name=span.name,
                context=span.context,
                context_status=self.known.get(f"stages[{i}].context"),
                first=first,
                tokens=tokens,
                tokens_status=self.known.get(f"stages[{i}].tokens"),
            )
            first += tokens

    def _component(self, name: str) -> ComponentPlan:
        tokens, there = self.schedule.tokens(name), self.found.available.get(name)
        component = self.mixture.component(name)
        place = self.mixture.all_components.index(component)  # those of the log, behind the others, have no status
        return ComponentPlan(
            name=name,
            kind=component.kind,
            tokens=tokens,
            available=there,
            epochs=self._epochs(name, range(len(self.drawn))),
            max_epochs=float(component.max_epochs),
            max_epochs_status=self.known.get(f"components[{place}].max_epochs"),
            unseen=None if there is None else self._unseen(name, there),
        )

    def _unseen(self, name: str, there: int) -> int:
        """What no stage draws: without repetition within one context length, independently between several."""
        left = Fraction(1)
        for context in {span.context for span in self.schedule.spans}:
            stages = [of for of, span in zip(self.drawn, self.schedule.spans, strict=True) if span.context == context]
            fit, drawn = self.found.fit(name, context), sum(of.get(name, 0) for of in stages)
            whole = fit.windows * context if fit else there
            left *= max(Fraction(0), 1 - Fraction(drawn, whole)) if whole else 0
        return round(left * there)

    def _share_status(self, stage: int, component: str) -> str | None:
        """Of the stage's weight for the component, and of every value of a group that it comes by."""
        names = [f"stages[{stage}].weights.{component}"]
        for i, group in enumerate(self.mixture.groups):
            if component in group.parts() and group.name in self.mixture.stages[stage].weights:
                names.append(f"stages[{stage}].weights.{group.name}")
                names += [name for name in self.known if name.startswith(f"groups[{i}].")]
        found = [self.known[name] for name in names if name in self.known]
        return max(found, key=STATUSES.index, default=None)

    def _rounded(self) -> Iterator[str]:
        """Shares that the schedule's finest fraction could not express."""
        weighed: list[tuple[str, Stage | Change]] = [(stage.name, stage) for stage in self.mixture.stages]
        weighed += [(f"from {change.at} on", change) for change in self.mixture.changes if change.weights]
        for where, what in weighed:
            shares = self.mixture.shares(what)
            weights = integer_weights(shares)
            for name, share in shares.items():
                if share * sum(weights.values()) != weights[name]:
                    yield f"{where}: {name}: {share} is scheduled as {weights[name]}/{sum(weights.values())}"

    def _unfit(self) -> Iterator[str]:
        """Components without tokens, or without a whole window where one is wanted."""
        for name, patterns in self.found.missing.items():
            yield f"{name}: no token folder matches {', '.join(patterns)}; tokenise it or take it out of the recipe"
        for name, there in self.found.available.items():
            contexts = [s.context for s, of in zip(self.schedule.spans, self.drawn, strict=True) if of.get(name)]
            empty = [context for context in contexts if not self._windows(name, context, there)]
            if empty:
                yield f"{name}: {there:,} tokens do not fill one window of {max(empty):,}; add documents"

    def _windows(self, name: str, context: int, there: int) -> int:
        fit = self.found.fit(name, context)
        return fit.windows if fit else max(0, there - 1) // context

    def _passed(self) -> Iterator[str]:
        """Components of which more epochs are wanted than the recipe allows, and where that begins."""
        for name, there in self.found.available.items():
            wanted, cap = self.schedule.tokens(name), self.mixture.component(name).max_epochs
            if self.mixture.packing == "best_fit":
                yield from self._passed_windows(name, there, cap)
            elif wanted > cap * there:
                stage, after = self._where(name, cap * there)
                epochs = f"{wanted / there:.4g} epochs" if there else "endless epochs"
                yield (
                    f"{name}: {epochs} of its {there:,} tokens in all, above max_epochs ({cap}); passed in {stage}, "
                    f"after {after:,} tokens of training"
                )

    def _passed_windows(self, name: str, there: int, cap: Fraction) -> Iterator[str]:
        """The same under best-fit packing, where an epoch is all windows."""
        for stage, span in enumerate(self.schedule.spans):
            if (self._epochs(name, range(stage + 1)) or 0.0) > cap:
                epochs = self._epochs(name, range(len(self.drawn)))
                yield (
                    f"{name}: {epochs:.4g} epochs of its windows ({there:,} tokens) in all, above max_epochs ({cap}); "
                    f"passed in {span.name}"
                )
                return

    def _where(self, name: str, limit: Fraction) -> tuple[str, int]:
        """The stage in which `limit` tokens of a component are passed, and the tokens of training before that."""
        first, so_far = 0, 0
        for segment in self.schedule.segments:
            tokens, drawn = (segment.end - segment.first) * segment.context, _tokens(segment, name)
            if so_far + drawn > limit:
                return self.schedule.spans[segment.stage].name, first + int((limit - so_far) * tokens / drawn)
            first, so_far = first + tokens, so_far + drawn
        raise AssertionError("asked only where the limit is passed")

    def _never_seen(self) -> Iterator[str]:
        for name, there in self.found.available.items():
            unseen = self._unseen(name, there)
            if unseen > there * _UNSEEN:
                about = "about " if len({span.context for span in self.schedule.spans}) > 1 else ""
                epochs = self.schedule.tokens(name) / there
                yield f"{name}: {about}{unseen:,} of its {there:,} tokens are never seen ({epochs:.3g} epochs in all)"

    def _unused(self) -> Iterator[str]:
        """Components that no stage draws from, and tokens that no component names."""
        for component in self.mixture.all_components:
            if not self.schedule.contexts(component.name):
                yield f"{component.name}: no stage draws from it; give it a weight or take it out of the recipe"
        for folder, tokens in self.found.unnamed.items():
            yield f"{folder}: {tokens:,} tokens that no component of the recipe names"

    def _unheld(self) -> Iterator[str]:
        """Entries of the log that mask what is not there: a list of something else than ids masks nothing."""
        for i, ids in self.found.unheld.items():
            mask = self.mixture.changes[i].mask
            of = len(mask.ids()) if mask else 0
            yield (
                f"changes[{i}].mask: {len(ids):,} of its {of:,} documents are in no token file that is drawn from, "
                f"{ids[0]!r} among them; give ids as `falconmix trace` shows them"
            )


def plan_text(plan: Plan) -> str:
    """The plan as a table of plain text, its warnings below."""
    cells = [_HEAD, *(_cells(row) for row in plan.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *(f"warning: {warning}" for warning in plan.warnings)])


def _tokens(segment: Segment, component: str) -> int:
    """Tokens that a segment draws from a component."""
    return segment.interleaving.count_before(component, segment.end - segment.first) * segment.context


def _cells(row: PlanRow) -> tuple[str, ...]:
    return (
        row.stage,
        f"{row.context:,}",
        row.component,
        f"{row.share:.2%}",
        f"{row.sequences:,}",
        f"{row.tokens:,}",
        "-" if row.available is None else f"{row.available:,}",
        "-" if row.epochs is None else f"{row.epochs:.3g}",
        "-" if row.epochs_so_far is None else f"{row.epochs_so_far:.3g}",
        "-" if row.left_over is None else f"{row.left_over:,}",
        "-" if row.padding is None else f"{row.padding:.1%}",
        "-" if row.cut is None else f"{row.cut:.1%}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Names to the left, numbers to the right."""
    aligned = [
        cell.ljust(width) if column in (0, 2) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
