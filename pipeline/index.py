"""An index of earlier dumps: what deduplication needs to know of their documents, without the texts.

`DIR/index.json` names the segments in the order of appending; it is the one file that ever changes, by a rename. A
segment is a folder of parquet parts that are written before it is named and never altered. Of every page that reached
deduplication a row tells its place in the order, its id, and the key of its URL; of those that further steps saw, the
key of the text, the band keys and the sketch by which edges are verified.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as dataset
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.groups import Past
from pipeline.lock import locked
from pipeline.recipe import Recipe
from pipeline.store import Store
from stages.minhash import Geometry

FORMAT = 1
KEYS_VERSION = 1
"""Changes with whatever makes other band keys, sketches or digests of the same text or URL; golden digests in the tests
notice. An index of another version cannot be compared with."""
POINTER = "index.json"
SEGMENTS = "segments"
LEAST_THRESHOLD = 0.5
"""Sketches are made for thresholds from here on (`stages.odd_sketch`)."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One run's documents.

    name: of its folder. run: identifies the run's output folder. crawls: the dumps that its documents are of.
    places: the places in its order, more than it has documents. parts: names of its files, with their BLAKE2b digests.
    """

    name: str
    run: str
    crawls: tuple[str, ...]
    documents: int
    places: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Index:
    """What the pointer says; an index that does not exist yet has no segments."""

    folder: Path
    settings: str
    segments: tuple[Segment, ...]

    def before(self, run: str) -> tuple[Segment, ...]:
        """The segments that a run is compared with: those before its own, all where it has none yet.

        Later runs were compared with its own; were it compared with theirs, what both have would be lost to both.
        """
        runs = [segment.run for segment in self.segments]
        return self.segments[: runs.index(run)] if run in runs else self.segments


def segment_schema(geometry: Geometry) -> pa.Schema:
    """Columns of a segment's parts."""
    return pa.schema(
        [
            pa.field("place", pa.int64(), nullable=False, metadata={"doc": "place in the order of its run"}),
            pa.field("id", pa.string(), nullable=False),
            pa.field("crawl", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            pa.field("kept", pa.bool_(), nullable=False, metadata={"doc": "left by the search for near-duplicates"}),
            pa.field("url_key", pa.binary(16), metadata={"doc": "null where the page has no URL"}),
            pa.field("text_key", pa.binary(16), metadata={"doc": "null where another page of its URL came first"}),
            pa.field("bands", pa.binary(8 * geometry.bands), metadata={"doc": "null where it was not searched"}),
            pa.field("sketch", pa.binary(), metadata={"doc": "stages.odd_sketch"}),
            pa.field("n_shingles", pa.int64(), metadata={"unit": "shingle"}),
        ]
    )


def open_index(folder: Path, recipe: Recipe) -> Index:
    """Read an index, or begin one.

    Raises UsageError where it was made by other settings or another version, or cannot serve this recipe.
    """
    threshold = recipe.minhash.threshold
    if 0 < threshold < LEAST_THRESHOLD:
        raise UsageError(
            f"minhash.threshold is {threshold:g}: with --index edges are verified by sketches, which serve thresholds "
            f"from {LEAST_THRESHOLD} on; raise it, or run without --index"
        )
    settings = _settings(recipe)
    if not (folder / POINTER).exists():
        if folder.exists() and any(
            not entry.name.startswith(".") and entry.name != SEGMENTS for entry in folder.iterdir()
        ):
            raise UsageError(f"{folder}: not empty and no index of ours; choose another --index")
        return Index(folder=folder, settings=settings, segments=())
    index = read_index(folder)
    if index.settings != settings:
        raise UsageError(
            f"{folder}: an index of other settings (its {index.settings}, this run's {settings}); use the recipe and "
            "the version that made it, or begin another with --index"
        )
    return index


def read_index(folder: Path) -> Index:
    """What an index's pointer says; UsageError where there is none of this version."""
    if not (folder / POINTER).exists():
        raise UsageError(f"{folder}: no index here; give the folder that `falconmix curate --index` wrote")
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = Store(folder).read_json(POINTER)
        if said["format"] == FORMAT:
            segments = tuple(
                Segment(**{**one, "crawls": tuple(one["crawls"]), "parts": tuple(map(tuple, one["parts"]))})
                for one in said["segments"]
            )
            return Index(folder=folder, settings=said["settings"], segments=segments)
    raise UsageError(f"{folder / POINTER}: not an index of format {FORMAT}, or damaged; begin another with --index")


def past_of(index: Index, segments: Sequence[Segment], first_group: int) -> tuple[Past, ...]:
    """The parts of segments as groups whose documents come before all others, numbered from `first_group` on.

    Raises UsageError where a part is missing.
    """
    found: list[Past] = []
    base = -sum(segment.places for segment in segments)
    for segment in segments:
        for name, _ in segment.parts:
            path = index.folder / SEGMENTS / segment.name / name
            if not path.exists():
                raise UsageError(f"{path}: missing from the index; restore it, or take the segment's crawl out")
            found.append(Past(first_group + len(found), str(path), base))
        base += segment.places
    return tuple(found)


def append(index: Index, run: str, source: Store, parts: Sequence[str], places: int) -> Segment:
    """Copy a run's segment into the index, then name it; it takes the place of an earlier one of that run.

    parts: files of `source`. Harmless when done twice.
    """
    digests = [source.digest(name) for name in parts]
    name = hashlib.blake2b("\n".join([run, *digests]).encode(), digest_size=8).hexdigest()
    named = [(f"part-{number:06d}.parquet", digest) for number, digest in enumerate(digests)]
    with locked(index.folder):
        target = Store(index.folder)
        for part, (file, _) in zip(parts, named, strict=True):
            with target.writing(f"{SEGMENTS}/{name}/{file}") as path:
                shutil.copyfile(source.path(part), path)
        segment = _described(index.folder, name, run, named, places)
        now = read_index(index.folder).segments if target.exists(POINTER) else ()
        known = any(one.run == run for one in now)
        replaced = [segment if one.run == run else one for one in now]
        _point(index.folder, index.settings, replaced if known else [*now, segment])
        _sweep(index.folder)
    return segment


def remove_crawl(folder: Path, crawl: str) -> int:
    """Take the documents of one dump out of an index; returns their number. What they had removed stays removed.

    Raises UsageError where no segment has any.
    """
    with locked(folder):
        index = read_index(folder)
        segments, n = [], 0
        for segment in index.segments:
            if crawl in segment.crawls:
                left, gone = _without(index, segment, pc.field("crawl").cast(pa.string()) != crawl, crawl)
                segments += left
                n += gone
            else:
                segments.append(segment)
        if not n:
            known = ", ".join(map(repr, sorted({name for segment in index.segments for name in segment.crawls})))
            raise UsageError(f"{folder}: holds nothing of {crawl!r}; it has {known or 'no documents'}")
        _point(folder, index.settings, segments)
        _sweep(folder)
    return n


def remove_documents(folder: Path, ids: set[str], url_keys: set[bytes]) -> int:
    """Take documents out of an index by id or by the key of their URL; returns their number."""
    with locked(folder):
        index = read_index(folder)
        known = pc.field("id").isin(pa.array(sorted(ids), pa.string()))
        # Of no row may it be unknown whether it goes: the key is null where a page has no address.
        by_url = pc.field("url_key").isin(pa.array(sorted(url_keys), pa.binary(16)))
        known |= by_url & pc.field("url_key").is_valid()
        label = hashlib.blake2b("\n".join(sorted(ids)).encode() + b"\n".join(sorted(url_keys))).hexdigest()
        segments, n = [], 0
        for segment in index.segments:
            left, gone = _without(index, segment, ~known, label)
            segments += left
            n += gone
        if n:
            _point(folder, index.settings, segments)
            _sweep(folder)
    return n


def url_keys_of(folder: Path, url_keys: set[bytes]) -> set[bytes]:
    """Those of the keys that an index holds."""
    index = read_index(folder)
    wanted = pc.field("url_key").isin(pa.array(sorted(url_keys), pa.binary(16)))
    found: set[bytes] = set()
    for segment in index.segments:
        for file, _ in segment.parts:
            path = index.folder / SEGMENTS / segment.name / file
            found.update(pq.read_table(path, columns=["url_key"], filters=wanted, partitioning=None)[0].to_pylist())
    return found


def _without(index: Index, segment: Segment, wanted: pc.Expression, label: str) -> tuple[list[Segment], int]:
    """A segment with the rows that are wanted alone, none where no row is; and how many rows it loses.

    label: tells what is wanted. Parts are read one at a time.
    """
    n_left = _count(index, segment, wanted)
    if n_left in (0, segment.documents):
        return ([segment] if n_left else []), segment.documents - n_left
    store = Store(index.folder)
    name = hashlib.blake2b(f"{segment.name}\n{label}".encode(), digest_size=8).hexdigest()
    named = []
    for file, _ in segment.parts:
        path = index.folder / SEGMENTS / segment.name / file
        table = pq.read_table(path, filters=wanted, partitioning=None)
        written = f"{SEGMENTS}/{name}/{file}"
        store.write_table(written, table, table.schema)
        named.append((file, store.digest(written)))
    return [_described(index.folder, name, segment.run, named, segment.places)], segment.documents - n_left


def _count(index: Index, segment: Segment, wanted: pc.Expression) -> int:
    paths = [index.folder / SEGMENTS / segment.name / file for file, _ in segment.parts]
    return sum(dataset.dataset(path).count_rows(filter=wanted) for path in paths)


def _described(folder: Path, name: str, run: str, parts: Sequence[tuple[str, str]], places: int) -> Segment:
    crawls: set[str] = set()
    documents = 0
    for file, _ in parts:
        column = pq.read_table(folder / SEGMENTS / name / file, columns=["crawl"], partitioning=None)["crawl"]
        crawls.update(column.cast(pa.string()).unique().to_pylist())
        documents += len(column)
    return Segment(
        name=name, run=run, crawls=tuple(sorted(crawls)), documents=documents, places=places, parts=tuple(parts)
    )


def _point(folder: Path, settings: str, segments: Sequence[Segment]) -> None:
    said = {"format": FORMAT, "settings": settings, "segments": [asdict(segment) for segment in segments]}
    Store(folder).write_json(POINTER, said)


def _sweep(folder: Path) -> None:
    """Delete segments that the pointer does not name: those taken out, and those of runs that never finished."""
    named = {segment.name for segment in read_index(folder).segments}
    for left in (folder / SEGMENTS).iterdir():
        if left.name not in named:
            shutil.rmtree(left)


def _settings(recipe: Recipe) -> str:
    """All that keys and sketches depend on, in words."""
    rules = recipe.minhash
    geometry = rules.geometry
    languages = "across languages" if rules.across_languages else "within languages"
    return (
        f"{geometry.bands} × {geometry.rows} over {geometry.shingle} words, seed {geometry.seed}, {languages}, "
        f"keys {KEYS_VERSION}, Unicode {unicodedata.unidata_version}"
    )
