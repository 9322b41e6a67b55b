"""What is finished: one JSON record per unit of work, written after the unit's files, so that a record means done.

A record names the files it stands for with their sizes; one whose files are gone or cut counts as not done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.store import Store

FOLDER = "manifest"


@dataclass(frozen=True)
class Manifest:
    """The records of one phase."""

    store: Store
    phase: str

    def done(self, unit: str, key: str) -> dict[str, Any] | None:
        """The record of `unit` if it was finished under the same `key` and its files are whole, else None."""
        record = self.whole(unit)
        return record if record and record["key"] == key else None

    def whole(self, unit: str) -> dict[str, Any] | None:
        """The record of `unit` under whatever key, if its files are whole, else None."""
        name = self._name(unit)
        if not self.store.exists(name):
            return None
        record: dict[str, Any] = self.store.read_json(name)
        return record if all(self._size(file) == size for file, size in record["files"].items()) else None

    def finish(self, unit: str, key: str, files: Sequence[str], report: Mapping[str, Any]) -> dict[str, Any]:
        """Record that `unit` is finished: `files` are written, `report` says what it did. Harmless when done twice."""
        sizes = {file: self.store.path(file).stat().st_size for file in files}
        record = {"unit": unit, "key": key, "files": sizes, "report": dict(report)}
        self.store.write_json(self._name(unit), record)
        return record

    def amend(self, record: Mapping[str, Any], changed: Store, report: Mapping[str, Any]) -> None:
        """Write a record anew into `changed`, a store that holds some of its files anew under the same names."""
        sizes = {
            file: changed.path(file).stat().st_size if changed.exists(file) else size
            for file, size in record["files"].items()
        }
        changed.write_json(self._name(record["unit"]), {**record, "files": sizes, "report": dict(report)})

    def _name(self, unit: str) -> str:
        return f"{FOLDER}/{self.phase}/{unit}.json"

    def _size(self, file: str) -> int:
        path = self.store.path(file)
        return path.stat().st_size if path.exists() else -1
