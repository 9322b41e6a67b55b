"""The units of each file put together: which of them hold, which must be redone, and what they add up to.

A file's units are read side by side, each from where a record seems to begin. They hold together where each began as
the one before it ended (equal seams). One that did not is redone from that seam; one whose whole range was read by
those before it is left out. What a unit reads depends on its seam and the file alone, so that by induction the units
that hold give together what one pass over the file gives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pipeline.block_digest import file_digest_of
from pipeline.document_files import is_document_file
from pipeline.inputs import Input
from pipeline.manifest import Manifest
from pipeline.replay import ReplayUnit
from pipeline.span import Seam
from pipeline.store import Store
from pipeline.unit import PHASE, Unit
from pipeline.unit_range import ranges
from pipeline.warc import read_head
from pipeline.warc_record import ReadLimits

Record = dict[str, Any]


def units_of(source: Input, fingerprint: str, unit_bytes: int, limits: ReadLimits) -> Sequence[Unit]:
    """Cut one input into units; into one where it is small or is no row of members."""
    whole = [Unit(input=source, fingerprint=fingerprint)]
    if source.size <= unit_bytes or is_document_file(source.path):
        return whole
    with Path(source.path).open("rb") as stream:
        if not read_head(stream, warc_path=source.warc_path, limits=limits).in_members:
            return whole
    cuts = ranges(source.size, unit_bytes)
    return [Unit(input=source, fingerprint=fingerprint, begin=begin, end=end) for begin, end in cuts]


class Chains:
    """The units of all files of a run, as their manifest records come in.

    Of a file whose units are all in, only the sum of their reports is kept.
    """

    def __init__(self, files: Iterable[Sequence[Unit | ReplayUnit]], store: Store) -> None:
        self._files = {units[0].input.warc_path: units for units in files}
        self._store = store
        self._manifest = Manifest(store, PHASE)
        self._records: dict[str, dict[str, Record]] = {name: {} for name in self._files}
        self._whole: dict[str, Record] = {}

    @property
    def units(self) -> list[Unit | ReplayUnit]:
        """All units, as the files were cut."""
        return [unit for units in self._files.values() for unit in units]

    def add(self, unit: Unit | ReplayUnit, record: Record) -> None:
        """Take in a finished unit."""
        name = unit.input.warc_path
        self._records[name][unit.name] = record
        if all(planned.name in self._records[name] for planned in self._files[name]):
            self._settle(name)

    def to_redo(self) -> list[Unit | ReplayUnit]:
        """Of each file that is not whole yet though all its units are in, the next unit to redo."""
        waiting = (name for name in self._files if name not in self._whole)
        return [unit for name in waiting if (unit := self._walk(name)[1])]

    def records(self) -> list[Record]:
        """One record per file, in order: `units` (their names) and `report`."""
        return [self._whole[name] for name in self._files]

    def _settle(self, name: str) -> None:
        """Put a file together, as far as its units go; units finished in an earlier run are found on the way."""
        while True:
            held, missing = self._walk(name)
            if missing is None:
                break
            record = self._manifest.done(missing.name, missing.key)
            if record is None:
                return
            self._records[name][missing.name] = record
        self._leave_out(name, {record["unit"] for record in held})
        self._whole[name] = self._sum(name, held)
        self._records[name] = {}

    def _walk(self, name: str) -> tuple[list[Record], Unit | ReplayUnit | None]:
        """The units that hold, from the file's beginning, and the one that must be read to go on, if one must."""
        held: list[Record] = []
        end: dict[str, Any] | None = None
        for planned in self._files[name]:
            span = self._records[name][planned.name]["report"]["span"]
            if span is None or (end and end["position"] >= span["until"]):
                continue
            unit = planned
            if end and end != span["start"]:
                assert isinstance(planned, Unit), "units that are decided again held in the earlier run"
                unit = dataclasses.replace(planned, seam=Seam(**end))
            if unit.name not in self._records[name]:
                return held, unit
            held.append(self._records[name][unit.name])
            end = held[-1]["report"]["span"]["end"]
        return held, None

    def _leave_out(self, name: str, held: set[str]) -> None:
        """Empty the units that do not hold: they stay finished, so that a resumed run need not read them again."""
        for unit, record in self._records[name].items():
            if unit not in held and record["files"]:
                for file in record["files"]:
                    self._store.remove(file)
                self._manifest.finish(unit, record["key"], [], record["report"])

    def _sum(self, name: str, held: Sequence[Record]) -> Record:
        planned = [self._records[name][unit.name] for unit in self._files[name]]
        report = add_reports([record["report"] for record in held])
        report["full_digest"] = file_digest_of([block for record in planned for block in record["report"]["blocks"]])
        return {"units": [record["unit"] for record in held], "report": report}


def add_reports(reports: Sequence[Mapping[str, Any]]) -> Record:
    """One report of a file from those of its units in order: numbers are added, of other values the first stands."""
    return reduce(_add, map(_of_file, reports))


def _of_file(report: Mapping[str, Any]) -> Record:
    return {name: value for name, value in report.items() if name not in ("span", "blocks")}


def _add(a: Any, b: Any) -> Any:
    if isinstance(a, dict) and isinstance(b, dict):
        return a | {name: _add(a[name], value) if name in a else value for name, value in b.items()}
    if isinstance(a, bool) or isinstance(b, bool):
        return a or b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a + b
    return b if a is None else a
