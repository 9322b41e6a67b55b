"""Runs of equal rows in columns that are sorted together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def run_starts(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each row differs from the one before in any of the columns, bool[n]; the first one does."""
    new = np.ones(columns[0].size, np.bool_)
    new[1:] = False
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new
