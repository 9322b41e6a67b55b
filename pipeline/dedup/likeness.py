"""What two documents are compared by: their shingle sets, or, in a run with an index, their sketches.

Either is a column, a row a document: a list of the shingles' hashes, or a sketch with the number of shingles.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dedup.plan import Plan
from stages import odd_sketch, verify
from stages.minhash import ShingleSets, shingle_sets

Rows = NDArray[np.int64]
_SKETCH = ("sketch", "n_shingles")


def described(plan: Plan, texts: pa.Array[Any]) -> pa.Array[Any]:
    """The column for texts."""
    sets = shingle_sets(texts, plan.recipe.minhash.geometry)
    if plan.past is None:
        return pa.LargeListArray.from_arrays(pa.array(sets.offsets), pa.array(sets.values))
    sketches = odd_sketch.sketches(sets)
    return sketch_column(odd_sketch.to_column(sketches), pa.array(sketches.sizes))


def sketch_column(sketches: pa.Array[Any], n_shingles: pa.Array[Any]) -> pa.Array[Any]:
    """The column from sketches that are there already."""
    return pa.StructArray.from_arrays([sketches, n_shingles], _SKETCH)


def similarities(a: pa.Array[Any], rows_a: Rows, b: pa.Array[Any], rows_b: Rows) -> NDArray[np.float64]:
    """Jaccard similarity, exact or estimated, of document rows_a[i] of `a` with document rows_b[i] of `b`."""
    if pa.types.is_struct(a.type):
        found = odd_sketch.similarities(_sketches(a), rows_a, _sketches(b), rows_b)
    else:
        found = verify.similarities(_sets(a), rows_a, _sets(b), rows_b)
    return found


def _sets(column: pa.Array[Any]) -> ShingleSets:
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(column).to_numpy())]).astype(np.int64)
    return ShingleSets(pc.list_flatten(column).to_numpy(), offsets)


def _sketches(column: pa.Array[Any]) -> odd_sketch.Sketches:
    return odd_sketch.from_column(*(pc.struct_field(column, name) for name in _SKETCH))
