"""What the URL stage costs: addresses a second and core, by part, on the addresses of WARC files.

Example: python benchmarks/urls.py --input ../shared/data/warc --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from given import WARC_SUFFIXES, files_of
from pipeline import recipe
from pipeline.file_report import FileReport
from pipeline.inputs import resolve
from pipeline.models import banned_words, compile_block_table, open_block_table
from pipeline.store import Store
from pipeline.unit import BATCH_PAGES
from pipeline.warc import read_captures
from stages.canonical_url import canonical
from stages.url_scan import canonical_column
from stages.urls import BlockList, UrlRules, UrlTables, builtin_words, filter_urls

GOAL_PER_SECOND = 100_000
ROUNDS = 4  # of which the best counts: the first loads machine code and tables, others share the machine


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--repeat", type=int, default=20, help="times that each address is judged")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    figures = measure(read_urls(options.input), options.repeat)
    for name, value in figures.items():
        print(f"{name:<22} {value:,.2f}")
    if options.json:
        print(json.dumps(figures))


def read_urls(path: str) -> list[str]:
    """The addresses of all pages below `path`."""
    urls = []
    for source in resolve([str(file) for file in files_of(path, WARC_SUFFIXES)]):
        with Path(source.path).open("rb") as stream:
            urls += [page.url for page in read_captures(stream, warc_path=source.warc_path, report=FileReport())]
    return urls


def measure(urls: Sequence[str], repeat: int) -> dict[str, Any]:
    """CPU microseconds an address for each part, and addresses a second for the whole, in batches as in a run."""
    tables, compile_s = _tables()
    many = [*urls] * repeat
    batches = [
        pa.RecordBatch.from_pydict({"url": many[at : at + BATCH_PAGES]}) for at in range(0, len(many), BATCH_PAGES)
    ]
    columns = [canonical_column(batch.column("url")) for batch in batches]

    def cost_us(work: Callable[[], object]) -> float:
        return min(_cpu_s(work) for _ in range(ROUNDS)) / len(many) * 1e6

    judged = [filter_urls(batch, UrlRules(), tables) for batch in batches]
    whole_us = cost_us(lambda: [filter_urls(batch, UrlRules(), tables) for batch in batches])
    return {
        "urls": len(urls),
        "judged": len(many),
        "dropped": sum(len(batch) - batch.column("url_filter").null_count for batch in judged) // repeat,
        "canonical_us": cost_us(lambda: [canonical_column(batch.column("url")) for batch in batches]),
        "canonical_python_us": cost_us(lambda: [canonical(url) for url in many]),
        "block_list_us": cost_us(lambda: [tables.block_list.matches(column) for column in columns]),
        "curated_us": cost_us(lambda: [tables.curated_list.matches(column) for column in columns]),
        "words_us": cost_us(lambda: [tables.score(column, 2) for column in columns]),
        "all_us": whole_us,
        "urls_per_second": 1e6 / whole_us,
        "goal_per_second": GOAL_PER_SECOND,
        "compile_block_list_s": compile_s,
    }


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def _tables() -> tuple[UrlTables, float]:
    """The default recipe's tables, and the CPU seconds that the block list takes once a run."""
    with tempfile.TemporaryDirectory() as folder:
        default = recipe.load("refinedweb")
        compile_block_table(Store(Path(folder) / "first"), default)
        started_s = time.process_time()
        store = Store(Path(folder) / "second")
        compile_block_table(store, default)
        compile_s = time.process_time() - started_s
        table = open_block_table(store)
        return UrlTables(block_list=BlockList(table), words=builtin_words() | banned_words()), compile_s


if __name__ == "__main__":
    main()
