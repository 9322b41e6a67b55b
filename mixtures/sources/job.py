"""An import as numbered units of work, each independent and repeatable: from the inputs to parquet shards.

    job = plan_import("code", [Path("data")], Path("out"), options)
    for number in range(len(job.units)):     # in any order, anywhere
        import_unit(number, job=job)

Where records that belong together lie apart (`job.is_grouped`), it is `scatter_unit` for each unit, then
`plan_groups(job)`, then `import_group` for each of its ranges.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from mixtures.sources.document import Dropped, Item, Noted
from mixtures.sources.inputs import Source, resolve
from mixtures.sources.kind import Kind, open_kind, read_options
from mixtures.sources.scatter import BUCKETS, BUFFER_BYTES, Record, ScatterFile, cut_buckets, read_groups, write_scatter
from mixtures.sources.streams import PART_BYTES, Piece
from mixtures.sources.writing import ShardLimits, Tally, write_shards

WORK: Final = "work"
_LIBRARIES: Final = ("pyarrow", "zstandard")

Unit = tuple[Piece, ...]
Report = tuple[list[str], dict[str, Any]]
"""Files written, below the output's folder, and the counts."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes that bound memory; results but for the cut into shards do not depend on them."""

    part_bytes: int = PART_BYTES
    n_buckets: int = BUCKETS
    buffer_bytes: int = BUFFER_BYTES
    limits: ShardLimits = field(default_factory=ShardLimits)


@dataclass(frozen=True, kw_only=True)
class ImportJob:
    """What is to be imported; can be sent to another process."""

    kind_name: str
    options: Any
    sources: tuple[Source, ...]
    output: Path
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def kind(self) -> Kind:
        """How the inputs are read."""
        return open_kind(self.kind_name)

    @property
    def is_grouped(self) -> bool:
        """Whether records have to be brought together first."""
        return self.kind.keyed is not None

    @cached_property
    def units(self) -> list[Unit]:
        """The units: parts of large inputs, or small inputs together."""
        return list(cut_units(self.sources, self.kind, self.sizes.part_bytes))

    def scatter_path(self, number: int) -> Path:
        """Where the records of a unit wait for those that they belong to."""
        return self.output / WORK / f"{number:06d}.scatter"

    def described(self) -> dict[str, Any]:
        """All that the output depends on."""
        return {
            "kind": self.kind_name,
            "options": json.loads(json.dumps(asdict(self.options), default=str)),
            "sizes": asdict(self.sizes),
            "versions": versions(self.kind),
            "inputs": [{name: getattr(s, name) for name in ("name", "size", "digest")} for s in self.sources],
        }

    @cached_property
    def key(self) -> str:
        """BLAKE2b-128 of all that the output depends on; where the inputs lie does not enter."""
        return hashlib.blake2b(json.dumps(self.described(), sort_keys=True).encode(), digest_size=16).hexdigest()


def plan_import(
    kind_name: str, inputs: Sequence[Path], output: Path, *, recipe: Path | None = None, settings: Sequence[str] = ()
) -> ImportJob:
    """Find the inputs and read the options. Raises InputError, RecipeError, before any work."""
    kind = open_kind(kind_name)
    options = read_options(kind, recipe, settings)
    sources = resolve(inputs, kind.accepted)
    kind.check(sources, options)
    return ImportJob(kind_name=kind_name, options=options, sources=tuple(sources), output=output)


def cut_units(sources: Sequence[Source], kind: Kind, part_bytes: int) -> Iterator[Unit]:
    """Parts of `part_bytes` of inputs that can be read in parts; other inputs whole, small ones together."""
    waiting: list[Piece] = []
    waiting_bytes = 0
    for source in sources:
        if waiting and waiting_bytes + source.size > part_bytes:
            yield tuple(waiting)
            waiting, waiting_bytes = [], 0
        if source.size > part_bytes and kind.splits(source):
            for start in range(0, source.size, part_bytes):
                yield (Piece(source=source, start=start, end=start + part_bytes),)
        else:
            waiting.append(Piece(source=source))
            waiting_bytes += source.size
    if waiting:
        yield tuple(waiting)


def import_unit(number: int, *, job: ImportJob) -> Report:
    """Turn one unit into documents. Raises InputError where an input is gone."""
    read = job.kind.documents
    assert read
    items = (item for piece in job.units[number] for item in read(piece, job.options))
    return _write(job, items, f"part-{number:05d}")


def scatter_unit(number: int, *, job: ImportJob) -> Report:
    """Write the records of one unit by their groups. Raises InputError where an input is gone."""
    read, tally = job.kind.keyed, Tally()
    assert read

    def records() -> Iterator[Record]:
        for piece in job.units[number]:
            for found in read(piece, job.options):
                if isinstance(found, Dropped):
                    tally.leave(found)
                elif isinstance(found, Noted):
                    tally.noted[found.what] += found.records
                else:
                    yield _packed(list(found[0])), _packed(found[1])

    path = job.scatter_path(number)
    n_records = write_scatter(path, records(), n_buckets=job.sizes.n_buckets, buffer_bytes=job.sizes.buffer_bytes)
    return [path.relative_to(job.output).as_posix()], {**tally.report(), "scattered": n_records}


def plan_groups(job: ImportJob) -> list[tuple[int, int]]:
    """Ranges of buckets, once all units are scattered, each to be read by one `import_group`."""
    return cut_buckets(_scatter_files(job), job.sizes.part_bytes)


def import_group(number: int, *, job: ImportJob, ranges: Sequence[tuple[int, int]]) -> Report:
    """Turn the groups of one range of buckets into documents."""
    join = job.kind.grouped
    assert join

    def items() -> Iterator[Item]:
        for group, records in read_groups(_scatter_files(job), *ranges[number]):
            yield from join(tuple(json.loads(group)), [json.loads(record) for record in records], job.options)

    return _write(job, items(), f"part-{number:05d}")


def versions(kind: Kind) -> dict[str, str]:
    """What results depend on besides the options: libraries, and a digest of the code and data of the importers."""
    state = hashlib.blake2b(digest_size=16)
    for file in _code(resources.files("mixtures") / "sources"):
        body = file.read_bytes()
        state.update(f"{file.name}\0{len(body)}\0".encode() + body)
    found = {name: importlib.metadata.version(name) for name in (*_LIBRARIES, *kind.libraries)}
    return {**found, "code": state.hexdigest()}


def _write(job: ImportJob, items: Iterator[Item], stem: str) -> Report:
    names, tally = write_shards(items, job.kind_name, job.output, stem, job.sizes.limits)
    return names, tally.report()


def _scatter_files(job: ImportJob) -> list[ScatterFile]:
    return [ScatterFile(job.scatter_path(number)) for number in range(len(job.units))]


def _packed(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _code(folder: Traversable) -> list[Traversable]:
    found = [entry for entry in folder.iterdir() if entry.name.endswith((".py", ".yaml", ".txt"))]
    found += [file for entry in folder.iterdir() if entry.name == "data" for file in entry.iterdir() if file.is_file()]
    return sorted(found, key=lambda entry: entry.name)
