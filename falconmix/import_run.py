"""An import from beginning to end: its output folder, its phases on an engine, and the report that makes it finished.

DIR/part-00000-000.parquet …    the documents
DIR/import.json                 options, versions, inputs, counts, shards; written last
DIR/work, DIR/manifest          what is half done; gone in the end
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

from mixtures.sources.job import (
    WORK,
    ImportJob,
    import_group,
    import_unit,
    plan_groups,
    scatter_unit,
)
from mixtures.sources.writing import Tally
from pipeline.engine import Engine
from pipeline.errors import UsageError, WorkError
from pipeline.lock import locked
from pipeline.manifest import FOLDER as MANIFEST
from pipeline.phase import Phases
from pipeline.progress import Progress
from pipeline.store import Store

REPORT: Final = "import.json"
BEGUN: Final = f"{WORK}/begun.json"
FORMAT: Final = 1
_DESCRIBED: Final = {"format", "key", "kind", "options", "sizes", "versions", "inputs"}
_PART: Final = "part-"
_PHASES: Final = "import"

Report = dict[str, Any]
State = Literal["new", "resumed", "finished"]


def run_import(
    job: ImportJob, start_engine: Callable[[], Engine], progress: Progress, *, restart: bool = False
) -> tuple[Report, State]:
    """Run or resume `job`; its report, and what was there at the beginning.

    Raises UsageError where the folder holds anything else, WorkError where a unit failed for good (what was finished is
    kept).
    """
    with locked(job.output):
        store = Store(job.output)
        state = _open(store, job, restart)
        if state != "finished":
            _sweep(store)
            store.write_json(BEGUN, {"format": FORMAT, "key": job.key, **job.described()})
            reports = _work(job, store, start_engine, progress)
            store.write_json(REPORT, _report(job, store, reports))
        for folder in (WORK, MANIFEST):
            store.remove(folder)
        return store.read_json(REPORT), state


def _open(store: Store, job: ImportJob, restart: bool) -> State:
    """Compare what is asked with what is there."""
    names = sorted(path.name for path in store.root.iterdir() if not path.name.startswith("."))
    told = next((name for name in (REPORT, BEGUN) if store.exists(name)), None)
    foreign = [name for name in names if name not in (REPORT, WORK, MANIFEST) and not _is_part(name)]
    if foreign or (names and told is None and set(names) - {WORK}):
        raise UsageError(
            f"{store.root}: not empty and no import of ours (holds {(foreign or names)[0]!r}); choose another --output"
        )
    if restart or told is None:
        for name in names:
            store.remove(name)
        return "new"
    earlier = _described(store, told)
    if earlier["key"] != job.key:
        raise UsageError(
            f"{store.root}: holds an import with {_difference(earlier, job.described())}; "
            "give --restart to discard it, or choose another --output"
        )
    if told == REPORT:
        _check_shards(store, earlier)
        return "finished"
    return "resumed"


def _described(store: Store, name: str) -> Report:
    with contextlib.suppress(ValueError):
        said = store.read_json(name)
        if isinstance(said, dict) and set(said) >= _DESCRIBED:
            return said
    raise UsageError(f"{store.path(name)}: not written by `falconmix import`, or damaged; choose another --output")


def _is_part(name: str) -> bool:
    return name.startswith(_PART) and name.endswith(".parquet")


def _check_shards(store: Store, report: Report) -> None:
    for shard in report["shards"]:
        path = store.path(shard["name"])
        if not path.exists() or path.stat().st_size != shard["size"]:
            raise UsageError(
                f"{path}: missing or changed since the import was finished; give --restart to make it again"
            )


def _difference(earlier: Report, now: Report) -> str:
    """The first thing that the two were not made with alike."""
    if earlier["kind"] != now["kind"]:
        return f"another kind of source ({earlier['kind']})"
    before = {source["name"]: source["digest"] for source in earlier["inputs"]}
    here = {source["name"]: source["digest"] for source in now["inputs"]}
    for name in sorted(before.keys() | here.keys()):
        if name not in here:
            return f"another input besides ({name})"
        if name not in before:
            return f"fewer inputs (without {name})"
        if before[name] != here[name]:
            return f"another content of the input {name}"
    for what in ("options", "versions", "sizes"):
        if name := _first_difference(earlier[what], now[what]):
            return f"another {name} among its {what}"
    return "other settings"


def _first_difference(earlier: Any, now: Any) -> str | None:
    """Dotted name of the first value that differs, empty where the values themselves do."""
    if not (isinstance(earlier, dict) and isinstance(now, dict)):
        return None if earlier == now else ""
    for name in sorted(earlier.keys() | now.keys()):
        found = _first_difference(earlier.get(name), now.get(name))
        if found is not None:
            return f"{name}.{found}" if found else name
    return None


def _sweep(store: Store) -> None:
    """Delete what interrupted writes left behind."""
    store.sweep_temporaries()
    for folder in (store.root, store.path(WORK)):
        for left in folder.glob(".*.part"):
            left.unlink(missing_ok=True)


def _work(
    job: ImportJob, store: Store, start_engine: Callable[[], Engine], progress: Progress
) -> dict[str, list[Report]]:
    engine = start_engine()
    try:
        phases = Phases(name=_PHASES, engine=engine, progress=progress, store=store, key=job.key)
        numbers = range(len(job.units))
        if not job.is_grouped:
            return {"write": phases.run("write", partial(import_unit, job=job), numbers)}
        scattered = phases.run("scatter", partial(scatter_unit, job=job), numbers)
        ranges = plan_groups(job)
        joined = phases.run("join", partial(import_group, job=job, ranges=ranges), range(len(ranges)))
    finally:
        engine.close()
    _check_sums(scattered, joined)
    return {"scatter": scattered, "write": joined}


def _check_sums(scattered: Sequence[Report], joined: Sequence[Report]) -> None:
    """Every record that was written to be joined must have been met again."""
    written, met = (
        sum(report[name] for report in reports) for name, reports in (("scattered", scattered), ("records", joined))
    )
    if written != met:
        raise WorkError(f"{written:,} records were brought together, {met:,} came out; give --restart, and report this")


def _report(job: ImportJob, store: Store, reports: dict[str, list[Report]]) -> Report:
    tally = Tally()
    for phase in reports.values():
        for report in phase:
            tally.add(report)
    names = sorted(path.name for path in store.root.iterdir() if _is_part(path.name))
    shards = [{"name": name, "size": store.path(name).stat().st_size} for name in names]
    return {"format": FORMAT, "key": job.key, **job.described(), "counts": tally.report(), "shards": shards}
