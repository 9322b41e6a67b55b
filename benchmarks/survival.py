"""How many good pages survive from HTML to parquet: those whose gold text passes the rules, and why others are lost.

Example: python benchmarks/survival.py --input ../shared/data/warc --gold ../shared/data/gold/pages.jsonl --json
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from given import WARC_SUFFIXES, files_of
from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.models import language_model_file
from pipeline.page_worker import PageSettings, open_reader
from pipeline.progress import Quiet
from pipeline.recipe import Recipe
from pipeline.tools import text_rules
from pipeline.why import why
from stages.decide import decide
from stages.pages import Page
from stages.schema import PAGE

GOAL = 0.97
_BATCH = 64
_RANK = {"published": 0, "duplicate": 1}


def main() -> None:
    """Parse the command line, curate, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--gold", required=True, type=Path, help="JSON lines: url, gold (the main text)")
    parser.add_argument("--recipe", default="refinedweb")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    chosen = recipe.load(options.recipe)
    inputs = tuple(map(str, files_of(options.input, WARC_SUFFIXES)))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        curate(CurateJob(inputs=inputs, output=output, recipe=chosen), SerialEngine, Quiet())
        figures = survival(output, good_urls(read_gold(options.gold), chosen))
    for loss in figures["losses"]:
        print(f"lost: {loss['url']}\n      {loss['stage']}: {loss['rule']} {loss['value']} (limit {loss['threshold']})")
    print(f"\n{figures['good']:,} gold texts pass the rules; of their pages {figures['share']:.2%} survive")
    print(f"published {figures['published']:,}, copies of kept pages {figures['copies']:,}, lost {figures['lost']:,}")
    if options.json:
        print(json.dumps(figures))


def read_gold(path: Path) -> list[tuple[str, str]]:
    """URL and main text of every page that has one."""
    rows = (json.loads(line) for line in path.read_bytes().splitlines())
    return [(row["url"], row["gold"]) for row in rows if row.get("gold")]


def good_urls(gold: Sequence[tuple[str, str]], chosen: Recipe) -> list[str]:
    """URLs, in order and each once, of the pages whose gold text passes language, quality and line rules."""
    settings = PageSettings(rules=chosen.page_rules, language_model=language_model_file(chosen))
    read, rules = open_reader(settings), text_rules(chosen)
    good: dict[str, None] = {}
    for at in range(0, len(gold), _BATCH):
        rows = []
        for url, text in gold[at : at + _BATCH]:
            page = read(Page(url, text.encode(), "utf-8", "text/plain", "conversion"))
            rows.append({
                "id": "", "url": url, "warc_path": "", "warc_offset": 0, "warc_length": 0, "crawl": "",
                "text": page.text, "language": page.language, "language_score": page.language_score, "opt_out": [],
                "verdict": page.verdict and page.verdict._asdict(), "verdict_stage": page.stage,
            })  # fmt: skip
        decided = decide(pa.RecordBatch.from_pylist(rows, PAGE), rules).pages
        good |= dict.fromkeys(row["url"] for row in decided.to_pylist() if row["verdict_stage"] is None)
    return list(good)


def survival(output: Path, urls: Sequence[str]) -> dict[str, Any]:
    """What became of the pages at `urls`: published, dropped as a copy of one that stays, or lost, and by what."""
    outcomes: Counter[str] = Counter()
    losses = []
    for url, entries in _entries(output, urls):
        best = min(entries, key=lambda entry: _RANK.get(entry["outcome"], len(_RANK)))
        outcomes[best["outcome"]] += 1
        if best["outcome"] not in _RANK:
            losses.append({name: best[name] for name in ("stage", "rule", "value", "threshold")} | {"url": url})
    survived = outcomes["published"] + outcomes["duplicate"]
    return {
        "good": len(urls),
        "published": outcomes["published"],
        "copies": outcomes["duplicate"],
        "lost": len(losses),
        "share": survived / max(1, len(urls)),
        "by_rule": dict(Counter(f"{loss['stage']}:{loss['rule']}" for loss in losses).most_common()),
        "losses": losses,
    }


def _entries(output: Path, urls: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for url in urls:
        entries = why(output, url)
        if not entries:
            raise SystemExit(f"{url}: in the gold texts and in no input")
        yield url, entries


if __name__ == "__main__":
    main()
