"""A run's identity: what it was asked for, what of it is there already, and when it may go on."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UsageError
from pipeline.index import Index, Segment
from pipeline.inputs import Input
from pipeline.lock import locked
from pipeline.models import language_model_file, open_language_model
from pipeline.recipe import Recipe, as_data
from pipeline.removals import FOLDER as REMOVALS
from pipeline.removals import abandon, refuse_half_done
from pipeline.store import Store
from pipeline.versions import fingerprint, results_depend_on

RUN = "run.json"
FINISHED = "manifest/finished.json"
OURS = (
    "RefinedWeb-English",
    "RefinedWeb-Europe",
    "rejected",
    "quarantine",
    "dedup",
    "documents",
    "removed",
    "lookup",
    "report",
    "manifest",
    "work",
    RUN,
)
"""All that a run writes into its folder; removals are not the run's, and stay."""

DESCRIBED = {"index", "format", "fingerprint", "recipe", "results_depend_on", "inputs"}
"""The keys of `run.json`."""

State = Literal["new", "resumed", "extended", "finished"]


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The index that a run goes with.

    run: names the output folder among the index's segments, for good. segments: those that the run is compared with,
    fixed when it begins, whatever is appended meanwhile.
    """

    index: Index
    run: str
    segments: tuple[Segment, ...]

    @property
    def names(self) -> list[str]:
        """The segments by name."""
        return [segment.name for segment in self.segments]


@dataclass(frozen=True, kw_only=True)
class Run:
    """An opened run.

    fingerprint: digest of the recipe and all that results depend on. key: digest of the fingerprint, the inputs, and
    the segments of an index. removals: those that the run which a replay decides again had seen when it began.
    """

    store: Store
    recipe: Recipe
    inputs: tuple[Input, ...]
    fingerprint: str
    state: State
    origin: Mapping[str, Any] | None = None
    beside: Beside | None = None
    removals: int = 0

    @property
    def key(self) -> str:
        """Changes with the inputs, the recipe, the versions that results depend on, and the index."""
        return run_key(self.fingerprint, self.inputs, self.beside.names if self.beside else (), self.removals)

    def finish(self, digests: dict[str, str], units: Sequence[str]) -> None:
        """Mark the run finished.

        digests: full digests of the inputs by `warc_path`, taken while reading. units: names of the units extracted.
        """
        self.store.write_json(RUN, self._description(digests))
        self.store.write_json(FINISHED, {"key": self.key, "units": list(units)})

    def begin(self) -> None:
        """Write down what is about to be done."""
        abandon(self.store)  # of a removal: what it staged is of files as they were
        self.store.remove(FINISHED)
        self.store.remove("report")
        self.store.write_json(RUN, self._description({}))

    def _description(self, digests: dict[str, str]) -> dict[str, Any]:
        inputs = [asdict(source) | {"full_digest": digests.get(source.warc_path)} for source in self.inputs]
        return {
            "format": 1,
            "fingerprint": self.fingerprint,
            "recipe": as_data(self.recipe),
            "results_depend_on": results_depend_on(self.recipe),
            "inputs": inputs,
            "replay_of": self.origin,
            "index": self.beside and _index_entry(self.beside),
            "removals": self.removals,
        }


def run_key(print_: str, inputs: Sequence[Input], segments: Sequence[str] = (), removals: int = 0) -> str:
    """Digest of a fingerprint, a set of inputs, the segments of an index in their order, and the number of removals
    from the run that is decided again, as 16 hex digits."""
    parts = [print_, *sorted(f"{source.warc_path}\0{source.size}\0{source.digest}" for source in inputs)]
    parts += [*segments, *([f"{removals} removals"] if removals else [])]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def open_run(
    store: Store,
    inputs: Sequence[Input],
    recipe: Recipe,
    *,
    restart: bool,
    origin: Mapping[str, Any] | None = None,
    index: Index | None = None,
    removals: int = 0,
) -> Run:
    """Compare what is asked with what is there. `origin`, `removals`: what a replay depends on besides its recipe.

    Raises UsageError where the folder holds something else, a run of another recipe, one with an index where none is
    given or the reverse, or inputs or segments that are missing now.
    """
    refuse_half_done(store)
    open_language_model(language_model_file(recipe))  # before any work: a file that is no model
    print_ = fingerprint(recipe, origin)
    state: State = "new"
    earlier = read_description(store) if store.exists(RUN) else None
    if earlier is None:
        _check_empty(store)
    elif restart:
        for name in OURS:
            store.remove(name)
    else:
        _check_recipe(store, earlier, print_)
        state = _compare(store, earlier, inputs)
        _check_index(store, earlier["index"], index)
    beside = None
    if state == "resumed" and earlier and _is_finished(store, _key_of(earlier, print_, inputs)):
        state = "finished"
    elif index:
        beside = _beside(index, earlier and earlier["index"], state == "resumed")
    return Run(
        store=store,
        recipe=recipe,
        inputs=tuple(inputs),
        fingerprint=print_,
        state=state,
        origin=origin,
        beside=beside,
        removals=removals,
    )


def _key_of(earlier: dict[str, Any], print_: str, inputs: Sequence[Input]) -> str:
    return run_key(print_, inputs, _names(earlier), earlier.get("removals", 0))


def _names(earlier: dict[str, Any]) -> list[str]:
    """The segments that a run was compared with."""
    return list(earlier["index"]["segments"]) if earlier["index"] else []


def _is_finished(store: Store, key: str) -> bool:
    return store.exists(FINISHED) and bool(store.read_json(FINISHED)["key"] == key)


def open_finished(output: Path) -> Store:
    """The folder of a finished run; UsageError where there is none."""
    store = Store(output.absolute())
    if not store.exists(FINISHED):
        raise UsageError(f"{output}: no finished run here; give the folder that --output named, and finish it first")
    return store


def read_description(store: Store) -> dict[str, Any]:
    """What `run.json` says; UsageError where another program wrote it."""
    with contextlib.suppress(ValueError):
        said = store.read_json(RUN)
        if isinstance(said, dict) and set(said) >= DESCRIBED and isinstance(said["recipe"], dict):
            return said
    raise UsageError(f"{store.path(RUN)}: not written by `falconmix curate`, or damaged; choose another --output")


def inputs_of(description: Mapping[str, Any]) -> tuple[Input, ...]:
    """The inputs that `run.json` lists."""
    names = [field.name for field in fields(Input)]
    return tuple(Input(**{name: source[name] for name in names}) for source in description["inputs"])


def _check_empty(store: Store) -> None:
    foreign = sorted(path.name for path in store.root.iterdir() if not path.name.startswith((".", REMOVALS)))
    if foreign:
        raise UsageError(f"{store.root}: not empty and no run of ours (holds {foreign[0]!r}); choose another --output")


def _check_recipe(store: Store, earlier: dict[str, Any], print_: str) -> None:
    if earlier["fingerprint"] != print_:
        raise UsageError(
            f"{store.root}: holds a run of another recipe or version (recipe {earlier['recipe']['name']!r}); "
            "give --restart to discard it, or choose another --output"
        )


def _check_index(store: Store, earlier: dict[str, Any] | None, index: Index | None) -> None:
    if (earlier is None) != (index is None):
        had = "without an index" if earlier is None else f"with the index {earlier['folder']}"
        raise UsageError(f"{store.root}: holds a run {had}; give the same --index or none, or --restart to begin anew")


def _beside(index: Index, earlier: dict[str, Any] | None, goes_on: bool) -> Beside:
    """A run that goes on is compared with the segments that it began with."""
    run = earlier["run"] if earlier else uuid.uuid4().hex
    if not (earlier and goes_on):
        return Beside(index=index, run=run, segments=index.before(run))
    there = {segment.name: segment for segment in index.segments}
    gone = [name for name in earlier["segments"] if name not in there]
    if gone:
        raise UsageError(
            f"{index.folder}: no longer holds the segment {gone[0]}, with which this run began; give --restart"
        )
    return Beside(index=index, run=run, segments=tuple(there[name] for name in earlier["segments"]))


def _index_entry(beside: Beside) -> dict[str, Any]:
    return {"folder": str(beside.index.folder), "run": beside.run, "segments": beside.names}


def _compare(store: Store, earlier: dict[str, Any], inputs: Sequence[Input]) -> State:
    now = {source.warc_path: source.digest for source in inputs}
    before = {source["warc_path"]: source["digest"] for source in earlier["inputs"]}
    for name, digest in before.items():
        if now.get(name) != digest:
            what = "is no longer among the inputs" if name not in now else "has changed"
            raise UsageError(f"{name}: {what} since the run in {store.root}; give --restart to begin anew")
    return "resumed" if len(now) == len(before) else "extended"


def clean(output: Path) -> int:
    """Free `work/` of a finished run; returns the bytes freed. UsageError where the run is not finished."""
    store = open_finished(output)
    with locked(store.root):
        refuse_half_done(store)
        abandon(store)
        freed_bytes = sum(file.stat().st_size for file in store.path("work").rglob("*") if file.is_file())
        store.remove("work")
    return freed_bytes
