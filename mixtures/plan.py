"""What each stage of a mixture will see: sequences, tokens and epochs of every component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mixtures.roots import Folder
from mixtures.run import OpenFiles
from mixtures.schedule import Schedule
from mixtures.spec import Mixture
from mixtures.supply import open_supplies


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One component in one stage."""

    stage: str
    context: int
    component: str
    share: float
    """Share of the stage's sequences, as scheduled."""
    sequences: int
    tokens: int
    """Tokens that the stage draws."""
    available: int | None
    """Tokens that the component has to train on; None where that is not known."""
    epochs: float | None
    """Times that the stage goes through them."""
    left_over: int | None
    """Tokens that no window of this context holds: an incomplete last window."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The rows, and what a user should know before starting."""

    rows: tuple[PlanRow, ...]
    warnings: tuple[str, ...]


def available_tokens(mixture: Mixture, token_root: Path) -> dict[str, int]:
    """Tokens to train on in each component of the mixture. Raises SupplyError, TokenFileError, TokenizerError."""
    _, supplies = open_supplies(mixture, OpenFiles(Folder(token_root)))
    return {name: len(supply.train) for name, supply in supplies.items()}


def plan(mixture: Mixture, available: Mapping[str, int] | None = None) -> Plan:
    """Plan `mixture` over components of `available` tokens each, or without knowing them. Raises RecipeError."""
    schedule = Schedule(mixture)
    rows = tuple(
        _row(schedule, span.index, name, available)
        for span in schedule.spans
        for name in schedule.sequences(span.index)
    )
    warnings = [*_rounded(schedule), *_exceeded(schedule, available or {})]
    return Plan(rows=rows, warnings=tuple(warnings))


def plan_text(plan: Plan) -> str:
    """The plan as a table of plain text, its warnings below."""
    head = ("stage", "context", "component", "share", "sequences", "tokens", "available", "epochs", "left over")
    cells = [head, *(_cells(row) for row in plan.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, *(f"warning: {warning}" for warning in plan.warnings)])


def _row(schedule: Schedule, stage: int, component: str, available: Mapping[str, int] | None) -> PlanRow:
    span = schedule.spans[stage]
    sequences = schedule.sequences(stage)[component]
    weights = schedule.weights(stage)
    there = (available or {}).get(component)
    return PlanRow(
        stage=span.name,
        context=span.context,
        component=component,
        share=weights[component] / sum(weights.values()),
        sequences=sequences,
        tokens=sequences * span.context,
        available=there,
        epochs=sequences * span.context / there if there else None,
        left_over=(there - 1) % span.context if there else None,
    )


def _rounded(schedule: Schedule) -> list[str]:
    """Shares that the schedule's finest fraction could not express."""
    warnings = []
    for span in schedule.spans:
        weights = schedule.weights(span.index)
        for name, share in schedule.mixture.shares(schedule.mixture.stages[span.index]).items():
            if share * sum(weights.values()) != weights[name]:
                warnings.append(f"{span.name}: {name}: {share} is scheduled as {weights[name]}/{sum(weights.values())}")
    return warnings


def _exceeded(schedule: Schedule, available: Mapping[str, int]) -> list[str]:
    """Components of which more epochs are wanted than the recipe allows."""
    warnings = []
    for name, there in available.items():
        wanted, cap = schedule.tokens(name), schedule.mixture.component(name).max_epochs
        if wanted > cap * there:
            epochs = f"{wanted / there:.4g}" if there else "endless"
            warnings.append(f"{name}: {epochs} epochs of its {there:,} tokens in all, above max_epochs ({cap})")
    return warnings


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
        "-" if row.left_over is None else f"{row.left_over:,}",
    )


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    """Names to the left, numbers to the right."""
    aligned = [
        cell.ljust(width) if column in (0, 2) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
