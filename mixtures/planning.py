"""Making the plan files that training looks up: which documents a component takes, and how they are packed.

The same mixture and tokens give the same files; what is there already is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixtures.best_fit import document_starts, packed
from mixtures.files import written_whole
from mixtures.plans import HELD_OUT, PIECES, PLAN
from mixtures.roots import Folder
from mixtures.run import OpenFiles, TokenRun
from mixtures.schedule import Schedule
from mixtures.selection import selected
from mixtures.spec import Mixture
from mixtures.supply import Supply, open_supplies
from mixtures.windows import CHUNK

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a component's documents lie in windows of one context length."""

    context: int
    windows: int
    padding: float
    """Share of the windows' tokens that are padding."""
    cut: float
    """Share of the documents that no window holds whole."""


def make_plans(mixture: Mixture, token_root: Path, say: Say = lambda _: None) -> dict[str, tuple[Fit, ...]]:
    """Make the plan files of a mixture that are missing; returns how each component fits its windows.

    Raises SupplyError, TokenFileError, TokenizerError.
    """
    root, schedule = Folder(token_root), Schedule(mixture)
    _, supplies = open_supplies(schedule, OpenFiles(root), planned=False)
    return {name: tuple(_planned(schedule, supply, root, say)) for name, supply in supplies.items()}


def _planned(schedule: Schedule, supply: Supply, root: Folder, say: Say) -> Iterator[Fit]:
    plan = _read_plan(root.local(supply.plan.name(PLAN)))
    run = supply.train
    if supply.component.where:
        run = _selected(supply, root, say)
    packing = schedule.mixture.packing
    for context in schedule.contexts(supply.component.name):
        key = f"{packing}-{context}"
        if key not in plan["fits"]:
            say(f"{supply.component.name}: windows of {context:,} tokens")
            fit = _best_fit(supply, run, context, root) if packing == "best_fit" else _concatenated(run, context)
            plan["fits"][key] = asdict(fit)
            _write_plan(root.local(supply.plan.name(PLAN)), plan, supply, run)
        yield Fit(**plan["fits"][key])


def _selected(supply: Supply, root: Folder, say: Say) -> TokenRun:
    """The documents to train on that meet the component's conditions."""
    paths = [root.local(supply.plan.name(file)) for file in (PIECES, HELD_OUT)]
    if not all(path.exists() for path in paths):
        say(f"{supply.component.name}: documents that meet its conditions")
        for path, run in zip(paths, (supply.train, supply.held_out), strict=True):
            _save(path, selected(supply.component, run, root))
    train, _ = supply.plan.pieces()
    return TokenRun(supply.train.files, train, OpenFiles(root))


def _best_fit(supply: Supply, run: TokenRun, context: int, root: Folder) -> Fit:
    blocks = [(np.zeros(1, np.int64), np.zeros(0, CHUNK)), *packed(run, context)]
    first = np.cumsum(np.concatenate([n_chunks for n_chunks, _ in blocks])).astype("<u8")
    table = np.concatenate([chunks for _, chunks in blocks])
    _save(root.local(supply.plan.name(f"{context}.chunks.npy")), table)
    _save(root.local(supply.plan.name(f"{context}.first.npy")), first)
    windows, lengths = len(first) - 1, np.diff(document_starts(run))
    filled = int(table["length"].sum())
    return Fit(
        context=context,
        windows=windows,
        padding=1 - filled / (windows * (context + 1)) if windows else 0.0,
        cut=float((lengths > context + 1).mean()) if len(lengths) else 0.0,
    )


def _concatenated(run: TokenRun, context: int) -> Fit:
    bounds = document_starts(run)
    starts, lasts = bounds[:-1], bounds[1:] - 1
    cut = starts // context * context + context < lasts
    return Fit(
        context=context,
        windows=max(0, len(run) - 1) // context,
        padding=0.0,
        cut=float(cut.mean()) if len(cut) else 0.0,
    )


def _save(path: Path, table: Any) -> None:
    with written_whole(path) as file:
        np.save(file, table)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {"fits": {}}
    return plan


def _write_plan(path: Path, plan: dict[str, Any], supply: Supply, run: TokenRun) -> None:
    about = {
        "component": supply.component.name,
        "where": [asdict(condition) for condition in supply.component.where],
        "tokens": len(run),
        "tokens_without_conditions": len(supply.train),
    }
    with written_whole(path) as file:
        file.write((json.dumps(plan | about, indent=1, sort_keys=True) + "\n").encode())
