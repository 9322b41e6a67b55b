"""Checksums of a checkpoint's files, in the form of `b2sum --length 128`, which checks them too: `b2sum -c B2SUMS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import torch.distributed as dist

from mixtures.files import content_digest

SUMS: Final = "B2SUMS"


def checksums(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """BLAKE2b-128 of files of `folder`, as hex digits, by name."""
    return {name: content_digest(folder / name) for name in names}


def write(folder: Path, sums: Mapping[str, str]) -> None:
    """Write them to `folder`."""
    lines = (f"{checksum}  {name}\n" for name, checksum in sorted(sums.items()))
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def fault(folder: Path, name: str) -> str | None:
    """What is wrong with a file of `folder`; None where it is as it was written."""
    return _first_fault(folder, [name], _read(folder))


def fault_of_any(folder: Path, *, alone: bool) -> str | None:
    """What is wrong with any of a checkpoint's files. A collective, unless `alone`: each process reads some of them."""
    rank, world = (0, 1) if alone else (dist.get_rank(), dist.get_world_size())
    known = _read(folder)
    names = known.keys() | {path.name for path in folder.glob("*.distcp")}
    mine = _first_fault(folder, sorted(names)[rank::world], known)
    faults = [mine] * world
    if not alone:
        dist.all_gather_object(faults, mine)
    return next((found for found in faults if found), None)


def _first_fault(folder: Path, names: Iterable[str], known: Mapping[str, str]) -> str | None:
    for name in names:
        try:
            found = content_digest(folder / name)
        except FileNotFoundError:
            return f"its {name} is missing"
        except OSError as error:
            return str(error)
        if name not in known:
            return f"its {SUMS} does not have {name}, or is missing"
        if found != known[name]:
            return f"its {name} is not what was written: {SUMS} has another checksum"
    return None


def _read(folder: Path) -> dict[str, str]:
    """The checksums by name; none where they cannot be read, which is then the fault of every file."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
