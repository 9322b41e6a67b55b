"""What is known of each document of a token file beside its tokens: `part-00000.columns.parquet`, a row each.

All columns of the documents but their text: URL and WARC byte range, by which a token leads back to where it came from;
language and signals, by which a recipe's components choose; source and licence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from types import TracebackType
from typing import Any, Final, TypeVar

import pyarrow as pa
from pyarrow import parquet

from mixtures.errors import TokenFileError
from mixtures.files import written_whole
from mixtures.tokens import MEND

_ROWS_PER_GROUP: Final = 4096


AnyPath = TypeVar("AnyPath", bound=PurePath)


def columns_path(tokens: AnyPath) -> AnyPath:
    """The columns of the documents of the token file `tokens`."""
    return tokens.with_suffix(".columns.parquet")


class ColumnWriter:
    """Writes the columns of a shard, batch by batch; the file is there when the block has ended well."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._whole = written_whole(path)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def __enter__(self) -> ColumnWriter:
        self._writer = parquet.ParquetWriter(self._whole.__enter__(), self._schema, compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()  # also of a file that will be thrown away: arrow would close it later, and complain
        self._whole.__exit__(kind, error, trace)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=1 << 30)
            self._waiting, self._rows = [], 0


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Those of the columns `names` that a file of columns has, of all its documents. Raises TokenFileError."""
    with _opened(path) as file:
        known = file.schema_arrow.names
        return file.read(columns=[name for name in names if name in known])


def read_row(path: Path, document: int) -> dict[str, Any]:
    """All columns of one document, out of a file of columns; reads its row group alone. Raises TokenFileError."""
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            if document < n_rows:
                row: dict[str, Any] = file.read_row_group(group).slice(document, 1).to_pylist()[0]
                return row
            document -= n_rows
    raise TokenFileError(f"{path}: has fewer rows than the token file has documents; {MEND}")


def _opened(path: Path) -> parquet.ParquetFile:
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError:
        raise TokenFileError(f"{path}: no such file; {MEND}") from None
    except (pa.ArrowException, OSError) as error:
        raise TokenFileError(f"{path}: not a whole parquet file ({error}); {MEND}") from error
