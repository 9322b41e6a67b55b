"""Files of a run: every write is seen whole or not at all (write, fsync, rename).

Names are relative to the run's folder, with forward slashes. A write that happens twice is harmless: the later rename
replaces the earlier file by the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.schema import check

ROWS_PER_GROUP = 4096
TEMPORARY = ".tmp-"


@dataclass(frozen=True)
class Store:
    """A folder on a file system that all workers see."""

    root: Path

    def path(self, name: str) -> Path:
        """Where `name` lies."""
        return self.root / name

    def exists(self, name: str) -> bool:
        """Whether `name` was written."""
        return self.path(name).exists()

    def names(self, folder: str, suffix: str = "") -> list[str]:
        """Finished files below `folder`, sorted."""
        top = self.path(folder)
        files = (file for file in top.rglob(f"*{suffix}") if file.is_file() and not file.name.startswith(TEMPORARY))
        return sorted(file.relative_to(self.root).as_posix() for file in files)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A temporary path that becomes `name` when the block ends well, and vanishes when it does not.

        An OSError of the block says which file it was about.
        """
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f"{TEMPORARY}{uuid.uuid4().hex}-{target.name}")
        try:
            yield temporary
            fsync(temporary)
            temporary.replace(target)
            fsync(target.parent)
        except OSError as error:
            if error.errno is not None and error.filename in (None, str(temporary)):
                error.filename = str(target)
            raise
        finally:
            temporary.unlink(missing_ok=True)

    def write_json(self, name: str, value: Any) -> None:
        """Write `value` as JSON with sorted keys."""
        with self.writing(name) as path:
            path.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

    def read_json(self, name: str) -> Any:
        """Read what `write_json` wrote."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def write_tables(self, name: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
        """Write `tables` as one parquet file of `schema`; returns its rows.

        Rows per row group are fixed and nothing about the run is stored, so that equal rows give equal bytes.
        """
        rows = 0
        with self.writing(name) as path, _writer(path, schema) as writer:
            for table in tables:
                check(table, schema)
                rows += table.num_rows
                writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        return rows

    def write_table(self, name: str, table: pa.Table, schema: pa.Schema) -> int:
        """Write one table as one parquet file of `schema`; returns its rows."""
        return self.write_tables(name, schema, [table])

    def remove(self, folder: str) -> None:
        """Delete a folder or file and all below it, if it is there."""
        path = self.path(folder)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def sweep_temporaries(self) -> None:
        """Delete what interrupted writes left behind."""
        for left in self.root.rglob(f"{TEMPORARY}*"):
            left.unlink(missing_ok=True)

    def digest(self, name: str) -> str:
        """BLAKE2b-128 of a file's bytes, as hex."""
        return file_digest(self.path(name))


def file_digest(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, as hex."""
    state = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            state.update(piece)
    return state.hexdigest()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=3,
        write_page_index=True,
        write_statistics=True,
        version="2.6",
    )


def fsync(path: Path) -> None:
    """Make what was written to a file, or a rename in a folder, outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
