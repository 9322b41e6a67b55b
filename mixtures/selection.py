"""Which documents of a component meet its conditions, as pieces of its token files."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mixtures.columns import columns_path, read_columns
from mixtures.components import Component, Condition
from mixtures.document_index import Documents, open_documents
from mixtures.errors import SupplyError
from mixtures.roots import Folder
from mixtures.run import PIECE, Pieces, TokenRun
from mixtures.tokens import read_header

_AT_ONCE: Final = 8


def selected(component: Component, run: TokenRun, root: Folder) -> Pieces:
    """The documents of a run that meet all conditions of its component; neighbours make one piece.

    Raises SupplyError for a column that a shard does not have or that cannot be compared.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda piece: _of_piece(component, run.files, piece, root), run.pieces.tolist()))
    return np.concatenate([np.zeros(0, PIECE), *found])


def _of_piece(component: Component, files: Sequence[str], piece: tuple[int, int, int], root: Folder) -> Pieces:
    number, first, end = piece
    path = root.local(files[number])
    table = read_columns(columns_path(path), [condition.column for condition in component.where])
    meets = np.ones(table.num_rows, np.bool_)
    for condition in component.where:
        if condition.column not in table.column_names:
            raise SupplyError(
                f"component {component.name!r}: {columns_path(path)} has no column {condition.column!r}; tokenise "
                "documents that have it, or take the condition out of the recipe"
            )
        try:
            meets &= _meets(table[condition.column], condition)
        except pa.ArrowException as error:
            raise SupplyError(
                f"component {component.name!r}: column {condition.column!r} of {columns_path(path)} cannot be compared "
                f"({error}); give bounds for numbers, one_of for texts"
            ) from error
    return _pieces(number, open_documents(path, read_header(path)), meets, first, end)


def _meets(column: pa.ChunkedArray, condition: Condition) -> npt.NDArray[np.bool_]:
    met = pc.is_valid(column)
    if condition.one_of is not None:
        met = pc.and_(met, pc.is_in(column.cast(pa.string()), value_set=pa.array(condition.one_of, pa.string())))
    # In the column's own precision: 0.65 in single precision is below 0.65 in double.
    kind = column.type if pa.types.is_floating(column.type) else pa.float64()
    if condition.at_least is not None:
        met = pc.and_(met, pc.greater_equal(column.cast(kind), pa.scalar(condition.at_least, kind)))
    if condition.at_most is not None:
        met = pc.and_(met, pc.less_equal(column.cast(kind), pa.scalar(condition.at_most, kind)))
    flags: npt.NDArray[np.bool_] = pc.fill_null(met, False).to_numpy()
    return flags


def _pieces(number: int, documents: Documents, meets: npt.NDArray[Any], first: int, end: int) -> Pieces:
    """Runs of documents that meet the conditions, of those between `first` and `end`."""
    starts = documents.starts.astype(np.int64)
    meets = meets & (starts >= first) & (starts < end)
    edges = np.flatnonzero(np.diff(meets, prepend=False, append=False))
    bounds = np.append(starts, documents.tokens)[edges]
    pieces = np.zeros(len(edges) // 2, PIECE)
    pieces["file"], pieces["first"], pieces["end"] = number, bounds[::2], bounds[1::2]
    return pieces
