"""Geometries for near-duplicate search at a threshold: what each finds, what it proposes in vain, what it stores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import UsageError
from stages.minhash import PRESETS, Geometry, collision_probability
from stages.odd_sketch import SKETCH_BYTES

KEY_BYTES = 8
MAX_BANDS = 512
MAX_FUNCTIONS = 20_000
STEP = 1.5
"""Of the geometries that reach the recall, each listed has this many times the bands of the one before."""

PRIOR = "similarities of pairs spread evenly from 0 to 1"
CURVE = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_GRID = 20_000


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A geometry and whose it is."""

    name: str
    bands: int
    rows: int

    @property
    def geometry(self) -> Geometry:
        """The geometry for `stages.minhash`."""
        return Geometry(bands=self.bands, rows=self.rows)

    def figures(self, threshold: float) -> dict[str, Any]:
        """What `dedup-plan` says of it."""
        return {
            "name": self.name,
            "bands": self.bands,
            "rows": self.rows,
            "hash_functions": self.bands * self.rows,
            "recall": collision_probability(threshold, self.geometry),
            "false_candidates": false_candidates(self.geometry, threshold),
            "bytes_per_document": KEY_BYTES * self.bands + SKETCH_BYTES,
            "curve": {str(similarity): collision_probability(similarity, self.geometry) for similarity in CURVE},
        }


def plan(threshold: float, recall: float) -> dict[str, Any]:
    """The presets, datasketch's optimum for as many hash functions, and geometries that reach the recall.

    `recall` is the least probability with which a pair at the threshold becomes a candidate. Raises UsageError.
    """
    for option, value in (("--threshold", threshold), ("--recall", recall)):
        if not 0 < value < 1:
            raise UsageError(f"{option} is {value:g}; give a number between 0 and 1, such as 0.8")
    presets = [Choice(name=name, bands=preset.bands, rows=preset.rows) for name, preset in PRESETS.items()]
    peers, notes = _of_datasketch(threshold, [choice.bands * choice.rows for choice in presets])
    found = list(_reaching(threshold, recall))
    if not found:
        notes.append(f"no geometry of 2 to {MAX_BANDS} bands reaches this recall at this threshold")
    return {
        "threshold": threshold,
        "recall": recall,
        "prior": PRIOR,
        "geometries": [choice.figures(threshold) for choice in (*presets, *peers, *found)],
        "notes": notes,
    }


def false_candidates(geometry: Geometry, threshold: float) -> float:
    """Expected share of candidate pairs below the threshold, were similarities spread evenly from 0 to 1."""
    similarity = (np.arange(_GRID) + 0.5) / _GRID
    proposed = 1 - (1 - similarity**geometry.rows) ** geometry.bands
    return float(proposed[similarity < threshold].sum() / proposed.sum())


def _reaching(threshold: float, recall: float) -> Iterator[Choice]:
    """For more and more rows the least bands that reach the recall: each finds as much and proposes less in vain."""
    rows, last = 1, 0.0
    while (bands := _bands(threshold, rows, recall)) <= MAX_BANDS and bands * rows <= MAX_FUNCTIONS:
        if bands >= 2 and bands >= STEP * last:
            yield Choice(name=f"{bands} × {rows}", bands=bands, rows=rows)
            last = bands
        rows += 1


def _bands(threshold: float, rows: int, recall: float) -> int:
    """The least number of bands with 1 - (1 - threshold^rows)^bands >= recall, `MAX_BANDS` + 1 where it is more."""
    agree = max(threshold**rows, 1e-9)  # which takes more bands than that for any recall worth asking for
    return min(math.ceil(math.log1p(-recall) / math.log1p(-agree)), MAX_BANDS + 1)


def _of_datasketch(threshold: float, n_functions: list[int]) -> tuple[list[Choice], list[str]]:
    """datasketch's optimal (b, r) for these numbers of hash functions; notes where there is none."""
    try:
        from datasketch import MinHashLSH
    except ImportError:
        return [], ["datasketch is not installed, so its optimum is left out: pip install 'falconmix[interop]'"]
    choices, notes = [], []
    for n in n_functions:
        try:
            lsh = MinHashLSH(threshold=threshold, num_perm=n)
        except ValueError as error:  # an optimum of one band, which it refuses
            notes.append(f"datasketch has no optimum for {n:,} hash functions: {error}")
        else:
            choices.append(Choice(name=f"datasketch, {n:,}", bands=lsh.b, rows=lsh.r))
    return choices, notes
