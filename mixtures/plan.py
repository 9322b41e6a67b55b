"""What each stage of a mixture will see: sequences, tokens and epochs of every component, and what to mend beforehand.

mixture = load_mixture("falcon2-11b")
made = plan(mixture, holdings(mixture, tokens), known_values("falcon2-11b"))
print(plan_text(made))
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

from mixtures.demand import Demand
from mixtures.holdings import Holdings
from mixtures.plan_warnings import warnings
from mixtures.spec import Mixture, recipe_path
from mixtures.strict import STATUSES, read_yaml, statuses
from mixtures.supply import drawn_from

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
    return _Planner(Demand(mixture, found or Holdings(available={}, missing={}, unnamed={})), known or {}).plan()


class _Planner:
    """The numbers of a plan."""

    def __init__(self, demand: Demand, known: Mapping[str, str]) -> None:
        self.demand, self.known = demand, known
        self.mixture, self.found, self.schedule = demand.mixture, demand.found, demand.schedule

    def plan(self) -> Plan:
        rows = tuple(self._row(stage, name) for stage, of_stage in enumerate(self.demand.drawn) for name in of_stage)
        return Plan(
            name=self.mixture.name,
            stages=tuple(self._stages()),
            components=tuple(self._component(component.name) for component in drawn_from(self.schedule)),
            rows=rows,
            warnings=tuple(warnings(self.demand)),
        )

    def _row(self, stage: int, component: str) -> PlanRow:
        span, fit = self.schedule.spans[stage], self.found.fit(component, self.schedule.spans[stage].context)
        tokens, there = self.demand.drawn[stage][component], self.found.available.get(component)
        return PlanRow(
            stage=span.name,
            context=span.context,
            component=component,
            share=self._share(stage, component),
            share_status=self._share_status(stage, component),
            sequences=tokens // span.context,
            tokens=tokens,
            available=there,
            epochs=_number(self.demand.epochs(component, [stage])),
            epochs_so_far=_number(self.demand.epochs(component, range(stage + 1))),
            windows=fit.windows if fit else None,
            left_over=(there - 1) % span.context if there and self.mixture.packing == "concatenate" else None,
            padding=fit.padding if fit else None,
            cut=fit.cut if fit else None,
        )

    def _share(self, stage: int, component: str) -> float:
        """As scheduled; where the log cuts the stage, what comes of all its parts."""
        if len(list(self.schedule.of_stage(stage))) > 1:
            return self.demand.drawn[stage][component] / sum(self.demand.drawn[stage].values())
        weights = self.schedule.weights(stage)
        return weights[component] / sum(weights.values())

    def _stages(self) -> Iterator[StagePlan]:
        first = 0
        for i, span in enumerate(self.schedule.spans):
            tokens = sum(self.demand.drawn[i].values())
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
            epochs=_number(self.demand.epochs(name)),
            max_epochs=float(component.max_epochs),
            max_epochs_status=self.known.get(f"components[{place}].max_epochs"),
            unseen=None if there is None else self.demand.unseen(name),
        )

    def _share_status(self, stage: int, component: str) -> str | None:
        """Of the stage's weight for the component, and of every value of a group that it comes by."""
        names = [f"stages[{stage}].weights.{component}"]
        for i, group in enumerate(self.mixture.groups):
            if component in group.parts() and group.name in self.mixture.stages[stage].weights:
                names.append(f"stages[{stage}].weights.{group.name}")
                names += [name for name in self.known if name.startswith(f"groups[{i}].")]
        found = [self.known[name] for name in names if name in self.known]
        return max(found, key=STATUSES.index, default=None)


def plan_text(plan: Plan) -> str:
    """The plan as a table of plain text, its warnings below."""
    cells = [_HEAD, *(_cells(row) for row in plan.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *(f"warning: {warning}" for warning in plan.warnings)])


def _number(epochs: Fraction | None) -> float | None:
    return None if epochs is None else float(epochs)


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
