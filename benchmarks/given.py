"""The files that `--input` names."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

WARC_SUFFIXES = (".warc.gz", ".warc")


def files_of(given: str, suffixes: Sequence[str]) -> list[Path]:
    """A file, the files below a folder that end in one of `suffixes`, or those of them that a glob finds; sorted.

    Raises SystemExit where there are none.
    """
    path = Path(given)
    if path.is_file():
        return [path]
    found = path.rglob("*") if path.is_dir() else map(Path, glob.glob(given, recursive=True))  # noqa: PTH207 - absolute ones too
    files = sorted(file for file in found if file.is_file() and file.name.endswith(tuple(suffixes)))
    if not files:
        raise SystemExit(f"{given}: no such file (looked for {', '.join(suffixes)})")
    return files
