"""What extraction costs and how good it is: each extractor on the same pages in the same run.

    python benchmarks/extraction.py --input crawl/ --gold pages.jsonl --json

Cost is CPU time (user and system) of this process, its only one, from the page as text to the main text; for each page
the extractors take turns, and the best of `--rounds` counts. `same` is the share of pages with the very text of plain
trafilatura. Quality is the measure of the article-extraction benchmark (scrapinghub, evaluate.py): multisets of 4-word
shingles, each page's true and false positives and false negatives scaled to a sum of one, then added up. `real` leaves
out pages that the gold file marks as made (`kind` other than `real`).
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from given import WARC_SUFFIXES, files_of, html_captures
from stages.charset import decode
from stages.extract import Extractor, Resiliparse, Trafilatura

SHINGLE_WORDS = 4
PLAIN = "plain trafilatura"
WARM_UP = "<html><body><p>Too short a page, for which every fallback is tried.</p></body></html>"
Figures = dict[str, Any]
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Gold:
    """A page's main text as a person marked it."""

    text: str
    is_real: bool


@dataclass
class Tally:
    """One extractor so far; the counts are sums of [true positives, false positives, false negatives]."""

    cpu_s: float = 0.0
    same: int = 0
    counts: dict[str, list[float]] = field(default_factory=lambda: {"all": [0.0] * 3, "real": [0.0] * 3})


def main() -> None:
    options = _options()
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    pages = list(read_pages(files_of(options.input, WARC_SUFFIXES), options.sample))
    if not pages:
        raise SystemExit(f"{options.input}: no HTML pages")
    figures = measure(pages, read_gold(options.gold), options.rounds)
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def read_pages(paths: Iterable[Path], every: int) -> Iterator[tuple[str, str]]:
    """Yield HTML and address of each `every`th whole page."""
    for capture in islice(html_captures(paths), 0, None, every):
        yield decode(capture.payload, capture.charset).text, capture.url


def read_gold(path: Path | None) -> dict[str, Gold]:
    """Gold texts by address; of an address that occurs twice, the first."""
    gold: dict[str, Gold] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path else ():
        row = json.loads(line)
        if row.get("gold"):
            gold.setdefault(row["url"], Gold(row["gold"], row.get("kind", "real") == "real"))
    return gold


def measure(pages: list[tuple[str, str]], gold: dict[str, Gold], rounds: int) -> Figures:
    """Cost, equality and quality of each extractor."""
    extractors: dict[str, Extractor] = {PLAIN: Trafilatura(fast=False), "ours": Trafilatura()}
    extractors["resiliparse"] = Resiliparse()
    for extractor in extractors.values():
        extractor.extract(WARM_UP, "")
    tallies = {name: Tally() for name in extractors}
    for html, url in pages:
        best_s = dict.fromkeys(extractors, float("inf"))
        texts: dict[str, str] = {}
        for _ in range(rounds):
            for name, extractor in extractors.items():
                started_s = time.process_time()
                texts[name] = extractor.extract(html, url)
                best_s[name] = min(best_s[name], time.process_time() - started_s)
        for name, tally in tallies.items():
            tally.cpu_s += best_s[name]
            tally.same += texts[name] == texts[PLAIN]
            if url in gold:
                _count(tally, gold[url], texts[name])
    return _figures(tallies, len(pages), sum(url in gold for _, url in pages))


def shingle_counts(gold: str, text: str) -> list[float]:
    """[true positives, false positives, false negatives] of 4-word shingles, scaled to a sum of one."""
    wanted, given = _shingles(gold), _shingles(text)
    counts = [(wanted & given).total(), (given - wanted).total(), (wanted - given).total()]
    return [count / sum(counts) for count in counts]


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[i : i + SHINGLE_WORDS]) for i in range(max(1, len(words) - SHINGLE_WORDS + 1)))


def _count(tally: Tally, gold: Gold, text: str) -> None:
    counts = shingle_counts(gold.text, text)
    for group in ("all", "real") if gold.is_real else ("all",):
        tally.counts[group] = [a + b for a, b in zip(tally.counts[group], counts, strict=True)]


def _figures(tallies: dict[str, Tally], n_pages: int, n_gold: int) -> Figures:
    figures: Figures = {"pages": n_pages, "gold_pages": n_gold, "extractors": {}}
    for name, tally in tallies.items():
        figures["extractors"][name] = {
            "ms_per_page": 1000 * tally.cpu_s / n_pages,
            "times_faster": tallies[PLAIN].cpu_s / tally.cpu_s,
            "same": tally.same / n_pages,
            "different": n_pages - tally.same,
            **{group: _quality(*counts) for group, counts in tally.counts.items()},
        }
    return figures


def _quality(true: float, false: float, missed: float) -> Figures | None:
    if not true:
        return None
    precision, recall = true / (true + false), true / (true + missed)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}


def print_figures(figures: Figures) -> None:
    print(f"{figures['pages']:,} pages, {figures['gold_pages']:,} of them with a gold text\n")
    print(f"{'extractor':<18}{'CPU ms':>8}{'times':>7}{'same':>8}  {'precision, recall, F1: all':<28}real")
    for name, row in figures["extractors"].items():
        quality = [
            " ".join(f"{x:.3f}" for x in row[group].values()) if row[group] else "–" for group in ("all", "real")
        ]
        costs = f"{row['ms_per_page']:>8.2f}{row['times_faster']:>7.2f}{row['same']:>8.2%}"
        print(f"{name:<18}{costs}  {quality[0]:<28}{quality[1]}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--gold", type=Path, help="JSON lines with url, gold and perhaps kind")
    parser.add_argument("--rounds", type=int, default=1, help="times that each page is extracted (default 1)")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="only each Nth page")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
