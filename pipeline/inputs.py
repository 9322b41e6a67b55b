"""The inputs of a run: which files, what they are called in its tables, and by what they are recognised again."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.document_files import SUFFIXES
from pipeline.errors import UsageError

WARC_SUFFIXES = (".warc.gz", ".warc", ".warc.zst", ".wet.gz", ".wet", ".arc", ".arc.gz")
PROBE_BYTES = 1 << 20
CRAWL_ROOT = "crawl-data"


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input file.

    warc_path: its name in every table: Common Crawl's own path where the path holds one, else as many trailing parts
    of the path as tell it from the other inputs, so that tables do not depend on where the files lie.
    digest: BLAKE2b-128 of size, first and last MiB: cheap, and enough to notice a changed file.
    """

    path: str
    warc_path: str
    size: int
    digest: str


def resolve(arguments: Sequence[str]) -> list[Input]:
    """Find the files that `arguments` name (files, or folders read recursively), sorted by `warc_path`.

    A file that is named twice, by whatever spelling, counts once. Raises UsageError before any work for a path that
    does not exist and for one that cannot be read.
    """
    spellings = sorted({file.absolute() for argument in arguments for file in _files(argument)}, reverse=True)
    paths = sorted({file.resolve(): file for file in spellings}.values())
    named = zip(_names(paths), paths, strict=True)
    return sorted((_describe(name, path) for name, path in named), key=lambda found: found.warc_path)


def _files(argument: str) -> list[Path]:
    path = Path(argument)
    try:
        if not path.exists():
            raise UsageError(f"{argument}: no such file or folder; check the path (nothing was done)")
        if path.is_file():
            return [path]
        if not path.is_dir():
            raise UsageError(f"{argument}: neither a file nor a folder; inputs are read more than once")
        found = list(_below(path, WARC_SUFFIXES))
        # Beside WARC files lie indexes and lists of other programs, so documents are looked for where there are none.
        found = found or list(_below(path, SUFFIXES))
    except OSError as error:
        raise _unreadable(error.filename or argument, error) from error
    if not found:
        raise UsageError(
            f"{argument}: no WARC file below this folder (looked for {', '.join(WARC_SUFFIXES + SUFFIXES)})"
        )
    return found


def _below(folder: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Files of some kinds below a folder; OSError where a part cannot be listed, which `rglob` would pass over."""

    def stop(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(folder, onerror=stop):
        files = (Path(place, name) for name in names if name.endswith(suffixes))
        yield from (file for file in files if file.is_file())


def _unreadable(path: object, error: OSError) -> UsageError:
    return UsageError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions")


def _names(paths: Sequence[Path]) -> list[str]:
    names = [_crawl_path(path) or path.name for path in paths]
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        sharing = defaultdict(list)
        for index, name in enumerate(names):
            sharing[name].append(index)
        clashes = [index for indices in sharing.values() if len(indices) > 1 for index in indices]
        if not clashes:
            break
        for index in clashes:
            names[index] = "/".join(PurePosixPath(paths[index]).parts[-depth:]).lstrip("/")
    return names


def _crawl_path(path: Path) -> str | None:
    parts = path.parts
    return "/".join(parts[parts.index(CRAWL_ROOT) :]) if CRAWL_ROOT in parts else None


def _describe(name: str, path: Path) -> Input:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{str(path)!r}: the name is not UTF-8, so that no table can hold it; rename it") from error
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(PROBE_BYTES)
            stream.seek(max(0, size - PROBE_BYTES))
            last = stream.read(PROBE_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error
    state = hashlib.blake2b(size.to_bytes(8, "little") + first + last, digest_size=16)
    return Input(path=str(path), warc_path=name, size=size, digest=state.hexdigest())
