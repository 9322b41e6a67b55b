"""The files that `--input` names, and the pages in them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.capture import Capture
from pipeline.file_report import FileReport
from pipeline.warc import read_captures
from stages.captures import CaptureRules

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


def html_captures(paths: Iterable[Path]) -> Iterator[Capture]:
    """The captures of WARC files that have a status and a media type of pages."""
    rules = CaptureRules()
    for path in paths:
        with path.open("rb") as stream:
            for capture in read_captures(stream, warc_path=path.name, report=FileReport()):
                if capture.http_status in rules.statuses and capture.content_type in rules.content_types:
                    yield capture
