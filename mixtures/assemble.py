"""A window as training sees it: its tokens, which of them the loss counts, and where its documents end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtures.run import RunPart, TokenRun

Chunks = Sequence[tuple[int, int]]
"""Start and length, in a run, of what a window holds."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """T + 1 tokens, T to read and T to predict."""

    tokens: npt.NDArray[np.int64]
    """[T + 1]: inputs are all but the last, targets all but the first."""
    learned: npt.NDArray[np.bool_] | None
    """[T]: which targets the loss counts; None: all."""
    lengths: npt.NDArray[np.int64] | None
    """Inputs of each document in turn, the sum is T; None where the recipe does not part documents."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a mixture says of all windows of a component."""

    padding_id: int
    parts_documents: bool
    """Whether it matters to the model where documents end."""
    has_skipped: bool
    """Whether the loss passes over the beginnings of some documents."""
    planned: bool
    """Whether windows hold chunks that have nothing to do with one another: then no chunk's first token is a target."""


def assembled(run: TokenRun, chunks: Chunks, context: int, rules: Rules, masked: frozenset[str]) -> Window:
    """The window of those chunks; documents whose ids are `masked` count for nothing."""
    tokens = _tokens(run, chunks, context, rules.padding_id)
    passes_over = rules.has_skipped or bool(masked)
    parts = parts_of(run, chunks) if rules.parts_documents or passes_over else []
    learned = _learned(chunks, context, parts, masked, planned=rules.planned) if passes_over or rules.planned else None
    return Window(tokens=tokens, learned=learned, lengths=_lengths(parts, context) if rules.parts_documents else None)


def parts_of(run: TokenRun, chunks: Chunks) -> list[RunPart]:
    """Which documents a window holds, and where, in order."""
    offset, found = 0, []
    for start, length in chunks:
        found += [part.moved(offset) for part in run.parts(start, length)]
        offset += length
    return found


def _tokens(run: TokenRun, chunks: Chunks, context: int, padding_id: int) -> npt.NDArray[np.int64]:
    if len(chunks) == 1 and chunks[0][1] == context + 1:
        return run.read(*chunks[0])
    parts = [run.read(*chunk) for chunk in chunks]
    padding = np.full(context + 1 - sum(map(len, parts)), padding_id, np.int64)
    return np.concatenate([*parts, padding])


def _learned(
    chunks: Chunks, context: int, parts: list[RunPart], masked: frozenset[str], *, planned: bool
) -> npt.NDArray[np.bool_]:
    learned = np.ones(context + 1, np.bool_)
    for part in parts:
        until = part.end if part.part.id in masked else min(part.learned_from, part.end)
        learned[part.first : max(part.first, until)] = False
    if planned:
        ends = np.cumsum([0, *(length for _, length in chunks)])
        learned[ends[:-1]] = False
        learned[ends[-1] :] = False
    return learned[1:]


def _lengths(parts: list[RunPart], context: int) -> npt.NDArray[np.int64]:
    """Inputs of each document; padding is a document of its own."""
    lengths = np.diff(np.minimum([0, *(part.end for part in parts), context], context))
    return lengths[lengths > 0]
