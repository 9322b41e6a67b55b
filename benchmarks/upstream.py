"""What each diff of `docs/upstream/` saves: trafilatura as installed, and copies of it with the diffs applied.

    python benchmarks/upstream.py --input crawl/ --rounds 3 --json

CPU time of this process from the page as text to the main text, called as falconmix calls it (precision, tables, no
comments); for each page the copies take turns, and the best of `--rounds` counts. `same` is the share of pages with the
text of the package as installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import json
import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from extraction import read_pages
from given import WARC_SUFFIXES, files_of

DIFFS = Path(__file__).resolve().parent.parent / "docs" / "upstream"
VERSION = "2.3.1"
"""The version of trafilatura that the diffs were made against."""
PLAIN, ALL = "as installed", "all together"
OPTIONS = {"favor_precision": True, "include_comments": False, "include_tables": True, "deduplicate": False}
WARM_UP = "<html><body><p>Too short a page, for which every fallback is tried.</p></body></html>"
_HUNK = re.compile(r"@@ -(?P<start>\d+),(?P<n_old>\d+) \+\d+,(?P<n_new>\d+) @@")


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """Lines of a file, and what takes their place."""

    path: str
    start: int
    """Number of the first line of `old`, from 1."""
    old: str
    new: str


def diffs() -> list[Path]:
    """The diffs, in the order of their numbers."""
    return sorted(DIFFS.glob("*.diff"))


def hunks(diff: str) -> Iterator[Hunk]:
    """Parse a unified diff. Raises ValueError where a hunk has not as many lines as its head says."""
    path, lines = "", iter(diff.splitlines(keepends=True))
    for line in lines:
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/").rstrip("\n")
        elif head := _HUNK.match(line):
            n_old, n_new, body = int(head["n_old"]), int(head["n_new"]), []
            while n_old > 0 or n_new > 0:
                body.append(next(lines, "?"))
                if body[-1][0] not in " -+":
                    raise ValueError(f"{path}: a hunk is shorter than its head says: {line}")
                n_old -= body[-1][0] != "+"
                n_new -= body[-1][0] != "-"
            old = "".join(line[1:] for line in body if line[0] != "+")
            new = "".join(line[1:] for line in body if line[0] != "-")
            yield Hunk(path=path, start=int(head["start"]), old=old, new=new)


def apply(diff: str, sources: Path) -> None:
    """Change the files below `sources`. Raises ValueError where old lines are not found exactly once, as they stand."""
    for hunk in hunks(diff):
        file = sources / hunk.path
        text = file.read_text(encoding="utf-8")
        if text.count(hunk.old) != 1:
            version = importlib.metadata.version("trafilatura")
            raise ValueError(
                f"{hunk.path}, line {hunk.start}: a diff made for trafilatura {VERSION} does not apply to {version}; "
                "make it anew, or drop it where its change has come to the package"
            )
        file.write_text(text.replace(hunk.old, hunk.new), encoding="utf-8")


def patched(paths: Sequence[Path], folder: Path) -> ModuleType:
    """Import a copy of trafilatura, made in `folder`, with these diffs applied; the package itself is untouched."""
    installed = importlib.util.find_spec("trafilatura")
    assert installed and installed.origin
    copy = folder / "trafilatura"
    shutil.copytree(Path(installed.origin).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for path in paths:
        apply(path.read_text(encoding="utf-8"), folder)
    # Below trafilatura's name, so that its log messages reach the same logger.
    name = f"trafilatura._patched_{'_'.join(path.stem[:4] for path in paths)}"
    spec = importlib.util.spec_from_file_location(name, copy / "__init__.py", submodule_search_locations=[str(copy)])
    assert spec and spec.loader
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package  # where its modules look for one another
    spec.loader.exec_module(package)
    return package


def copies(folder: Path) -> dict[str, ModuleType]:
    """A copy for each diff, by its file's name, and one with all of them."""
    chosen = {path.name: [path] for path in diffs()} | {ALL: diffs()}
    return {name: patched(paths, folder / name) for name, paths in chosen.items()}


def measure(pages: Sequence[tuple[str, str]], packages: Mapping[str, ModuleType], rounds: int) -> dict[str, Any]:
    """CPU milliseconds a page and the share of equal texts, by package; the first is the one compared with."""
    cpu_s, same = dict.fromkeys(packages, 0.0), dict.fromkeys(packages, 0)
    for package in packages.values():
        package.extract(WARM_UP, **OPTIONS)
    for i, (html, url) in enumerate(pages):
        first = i % len(packages)  # nobody is always the first on a page
        turns = [*packages, *packages][first : first + len(packages)]
        best_s = dict.fromkeys(packages, float("inf"))
        texts: dict[str, str | None] = {}
        for _, name in itertools.product(range(rounds), turns):
            started_s = time.process_time()
            texts[name] = packages[name].extract(html, url=url or None, **OPTIONS)
            best_s[name] = min(best_s[name], time.process_time() - started_s)
        for name in packages:
            cpu_s[name] += best_s[name]
            same[name] += texts[name] == texts[next(iter(packages))]
    return {
        name: {"ms_per_page": 1000 * cpu_s[name] / len(pages), "same": same[name] / len(pages)} for name in packages
    }


def main() -> None:
    options = _options()
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    pages = list(read_pages(files_of(options.input, WARC_SUFFIXES), options.sample))
    if not pages:
        raise SystemExit(f"{options.input}: no HTML pages")
    with tempfile.TemporaryDirectory() as folder:
        packages = {PLAIN: importlib.import_module("trafilatura"), **copies(Path(folder))}
        figures = measure(pages, packages, options.rounds)
    print(f"{len(pages):,} pages\n\n{'trafilatura':<44}{'CPU ms':>8}{'share':>8}{'same':>9}")
    for name, row in figures.items():
        share = row["ms_per_page"] / figures[PLAIN]["ms_per_page"]
        print(f"{name:<44}{row['ms_per_page']:>8.2f}{share:>8.1%}{row['same']:>9.2%}")
    if options.json:
        print(json.dumps({"pages": len(pages), "packages": figures}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--rounds", type=int, default=1, help="times that each page is extracted (default 1)")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="only each Nth page")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
