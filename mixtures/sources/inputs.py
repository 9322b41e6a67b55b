"""The inputs of an import: which files, what they are called in reports, and by what they are recognised again."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mixtures.errors import InputError
from mixtures.files import ends_digest

_ARCHIVES: Final = {".7z": "7z x", ".rar": "unrar x", ".zip": "unzip"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """One input: a file, or a folder that is read as one.

    name: as many trailing parts of the path as tell it from the other inputs. size: in bytes. digest: BLAKE2b-128 of
    size, first and last MiB: cheap, and enough to notice a changed file; of a folder, that of its files.
    """

    path: str
    name: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Which files a kind of source reads.

    pattern: matches the names of its files. said: the same, for people. folder: tells whether a folder is read as one;
    of what lies below it, only files that match `in_folder` are inputs of their own.
    """

    pattern: str
    said: str
    folder: Callable[[Path], bool] = lambda _: False
    in_folder: str = r"(?!)"

    def __call__(self, path: Path) -> bool:
        """Whether the file is of the kind."""
        return re.search(self.pattern, path.name) is not None


def resolve(arguments: Iterable[Path], accepted: Accepted) -> list[Source]:
    """Find the files that `arguments` name (files, or folders read recursively), sorted by name.

    A file that is named twice counts once. Raises InputError before any work for a path that does not exist, cannot be
    read, or is of another kind.
    """
    paths = sorted({found.resolve() for argument in arguments for found in _found(argument, accepted)})
    try:
        made = [_describe(name, path) for name, path in zip(_names(paths), paths, strict=True)]
    except OSError as error:
        raise _unreadable(error.filename, error) from error
    return sorted(made, key=lambda source: source.name)


def _found(argument: Path, accepted: Accepted) -> list[Path]:
    try:
        if argument.is_dir():
            found = _below(argument, accepted)
            if not found:
                raise InputError(f"{argument}: holds no input of this kind; looked for {accepted.said}")
            return found
        if not argument.exists():
            raise InputError(f"{argument}: no such file or folder; check the path (nothing was done)")
    except OSError as error:
        raise _unreadable(error.filename or argument, error) from error
    if argument.suffix in _ARCHIVES:
        raise InputError(
            f"{argument}: archives of this kind are not read; unpack it first "
            f"(`{_ARCHIVES[argument.suffix]} {argument.name}`) and give what it holds"
        )
    if not accepted(argument):
        raise InputError(f"{argument}: not an input of this kind; give {accepted.said}")
    return [argument]


def _below(folder: Path, accepted: Accepted) -> list[Path]:
    def stop(error: OSError) -> None:
        raise error

    found: list[Path] = []
    wholes: set[Path] = set()
    for place, folders, names in os.walk(folder, onerror=stop):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = not wholes.isdisjoint(here.parents)
        if not inside and accepted.folder(here):
            wholes.add(here)
            inside = True
            found.append(here)
        files = (here / name for name in sorted(names) if not name.startswith("."))
        wanted = (file for file in files if (re.search(accepted.in_folder, file.name) if inside else accepted(file)))
        found += [file for file in wanted if file.is_file()]
    return found


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.name for path in paths]
    for depth in range(2, max((len(path.parts) for path in paths), default=0) + 1):
        sharing = defaultdict(list)
        for index, name in enumerate(names):
            sharing[name].append(index)
        clashes = [index for indices in sharing.values() if len(indices) > 1 for index in indices]
        if not clashes:
            break
        for index in clashes:
            names[index] = "/".join(paths[index].parts[-depth:]).lstrip("/")
    return names


def _describe(name: str, path: Path) -> Source:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!r}: the name is not UTF-8; rename it") from error
    size, digest = _folder_digest(path) if path.is_dir() else ends_digest(path)
    return Source(path=str(path), name=name, size=size, digest=digest)


def _folder_digest(folder: Path) -> tuple[int, str]:
    total, state = 0, hashlib.blake2b(digest_size=16)
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        size, digest = ends_digest(file)
        state.update(f"{file.relative_to(folder).as_posix()}\0{digest}\0".encode("utf-8", "surrogateescape"))
        total += size
    return total, state.hexdigest()


def _unreadable(path: object, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions")
