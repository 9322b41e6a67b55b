"""The gates before extraction: what they cost in survivors, and what they save in CPU time.

    python benchmarks/cascade.py --input crawl/ --json
    python benchmarks/cascade.py --input crawl/ --doomed 0.65 --json

Every whole page is read twice in this process, in turns: by the page reader as it is, and with `page.pre_gates` off, so
that nothing but the limits stops a page before extraction. A survivor is a page whose text then passes the recipe's
rules. A page that survives without the gates and not with them is lost; `lost_at_most` is the upper end of the
one-sided 95 % interval of Clopper and Pearson for the share of survivors that are lost. CPU time is that of reading
pages (character set, limits, gates, extraction, language), the best of `--rounds`, and of their text rules, machine
code compiled.

`--doomed SHARE`: costs are weighted as if the pages that do not survive were that share of all.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa

from given import WARC_SUFFIXES, files_of, html_captures
from pipeline.capture import Capture
from pipeline.models import language_model_file, open_language_model
from pipeline.recipe import DEFAULT, Recipe, load
from pipeline.tools import text_rules
from stages.decide import decide
from stages.language import FastText
from stages.pages import EARLY_STAGES, Page, PageReader, PageResult
from texts import text_batch

BATCH = 256
CONFIDENCE = 0.95
Figures = dict[str, Any]


@dataclass
class Side:
    """One way of reading: results of all pages, and the CPU time that each took."""

    reader: PageReader
    results: list[PageResult] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def read(self, page: Page, *, again: bool = False) -> None:
        """Read a page; of the times that it took, `again` keeps the least."""
        started_s = time.process_time()
        result = self.reader(page)
        spent_s = time.process_time() - started_s
        if again:
            self.cpu_s[-1] = min(self.cpu_s[-1], spent_s)
        else:
            self.results.append(result)
            self.cpu_s.append(spent_s)

    def decide(self, recipe: Recipe) -> list[bool]:
        """Which pages survive the rules on texts; what those take is charged to the pages that reach them."""
        survive = [False] * len(self.results)
        reached = [i for i, result in enumerate(self.results) if result.stage is None]
        rules = text_rules(recipe)
        for start in range(0, len(reached), BATCH):
            rows = reached[start : start + BATCH]
            batch = text_batch(*zip(*(_text(self.results[row]) for row in rows), strict=True))
            started_s = time.process_time()
            steps = decide(batch, rules).pages.column("verdict_stage")
            spent_s = time.process_time() - started_s
            for row, kept in zip(rows, steps.is_null().to_pylist(), strict=True):
                survive[row] = kept
                self.cpu_s[row] += spent_s / len(rows)
        return survive


def main() -> None:
    options = _options()
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    captures = islice(html_captures(files_of(options.input, WARC_SUFFIXES)), 0, None, options.sample)
    figures = measure(captures, load(options.recipe), options.doomed, options.rounds)
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def measure(captures: Iterable[Capture], recipe: Recipe, doomed_share: float | None, rounds: int) -> Figures:
    """Read all pages both ways, in turns, `rounds` times, and compare."""
    model = FastText(open_language_model(language_model_file(recipe)))
    rules = recipe.page_rules
    gated = Side(PageReader(dataclasses.replace(rules, pre_gates=True), model))
    ungated = Side(PageReader(dataclasses.replace(rules, pre_gates=False), model))
    _warm_up(recipe, (gated, ungated))
    for number, capture in enumerate(captures):
        page = _page(capture)
        for turn in range(rounds):
            for side in (gated, ungated) if (number + turn) % 2 else (ungated, gated):
                side.read(page, again=turn > 0)
    with_gates, without = gated.decide(recipe), ungated.decide(recipe)
    return compare(gated, with_gates, ungated, without, doomed_share)


def compare(
    gated: Side, with_gates: Sequence[bool], ungated: Side, without: Sequence[bool], doomed_share: float | None
) -> Figures:
    """Survivors of both, and the cost of a page that survives, of one that does not, and of all."""
    n, survivors = len(without), sum(without)
    lost = sum(alone and not kept for kept, alone in zip(with_gates, without, strict=True))
    given = (n - survivors) / max(n, 1)
    share = given if doomed_share is None else doomed_share
    sides = {"with_gates": gated, "without_gates": ungated}
    costs = {name: _costs(side.cpu_s, without, share) for name, side in sides.items()}
    return {
        "pages": n,
        "survivors_with_gates": sum(with_gates),
        "survivors_without_gates": survivors,
        "lost": lost,
        "lost_at_most": upper_bound(lost, survivors),
        "stopped_early": dict(Counter(one.stage for one in gated.results if one.stage in EARLY_STAGES)),
        "doomed": share,
        "doomed_as_given": given,
        "ms_per_page": costs,
        "ratio": costs["without_gates"]["all"] / costs["with_gates"]["all"],
        "ratio_as_given": costs["without_gates"]["as_given"] / costs["with_gates"]["as_given"],
    }


def upper_bound(lost: int, n: int, confidence: float = CONFIDENCE) -> float:
    """Upper end of the one-sided Clopper–Pearson interval for a share of which `lost` of `n` were seen.

    The share at which so few are seen with probability 1 - confidence; of none in n it is near 3 / n.
    """
    if lost >= n:
        return 1.0
    low, high = lost / n, 1.0
    for _ in range(60):
        share = (low + high) / 2
        if _at_most(lost, n, share) > 1 - confidence:
            low = share
        else:
            high = share
    return high


def _at_most(seen: int, n: int, share: float) -> float:
    """Probability of `seen` or fewer of `n`."""
    return math.fsum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(seen + 1))


def _costs(cpu_s: Sequence[float], survives: Sequence[bool], doomed_share: float) -> dict[str, float]:
    """CPU milliseconds of a page that survives, of one that does not, of all as given, of all by the share."""
    kept = _mean([spent_s for spent_s, one in zip(cpu_s, survives, strict=True) if one])
    doomed = _mean([spent_s for spent_s, one in zip(cpu_s, survives, strict=True) if not one])
    whole = (1 - doomed_share) * kept + doomed_share * doomed
    seconds = {"surviving": kept, "doomed": doomed, "as_given": _mean(cpu_s), "all": whole}
    return {kind: 1000 * spent_s for kind, spent_s in seconds.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)


def _page(capture: Capture) -> Page:
    return Page(
        url=capture.url,
        payload=capture.payload,
        http_charset=capture.charset,
        content_type=capture.content_type,
        record_type=capture.record_type,
    )


def _text(result: PageResult) -> tuple[str, str | None, float | None]:
    return result.text, result.language, result.language_score


def _warm_up(recipe: Recipe, sides: Iterable[Side]) -> None:
    """Load what is loaded at first use, and compile for whole batches and for slices of them."""
    html = b"<html><body><p>Too short a page, for which every fallback is tried.</p></body></html>"
    page = Page(url="", payload=html, http_charset="utf-8", content_type="text/html", record_type="response")
    for side in sides:
        side.reader(page)
    batch = text_batch(["one text", "and another"], ["en", "en"], [0.9, 0.9])
    for part in (batch, batch.slice(1), pa.RecordBatch.from_arrays(batch.columns, batch.schema.names)):
        decide(part, text_rules(recipe))


def print_figures(figures: Figures) -> None:
    early = ", ".join(f"{stage} {n}" for stage, n in figures["stopped_early"].items()) or "none"
    print(f"{figures['pages']:,} pages; stopped before extraction: {early}")
    print(f"survivors: {figures['survivors_with_gates']:,} with gates", end=", ")
    print(f"{figures['survivors_without_gates']:,} without; lost {figures['lost']}", end=", ")
    print(f"of all survivors at most {figures['lost_at_most']:.3%} (95 %)")
    print(f"\n{'CPU ms per page':<18}{'surviving':>11}{'doomed':>9}{'all':>9}")
    for name, costs in figures["ms_per_page"].items():
        print(f"{name.replace('_', ' '):<18}{costs['surviving']:>11.2f}{costs['doomed']:>9.2f}{costs['all']:>9.2f}")
    print(f"with {figures['doomed']:.0%} doomed pages the gates make it {figures['ratio']:.2f} times cheaper")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--recipe", default=DEFAULT, metavar="NAME|FILE")
    parser.add_argument("--doomed", type=float, metavar="SHARE", help="share of pages that do not survive")
    parser.add_argument("--rounds", type=int, default=1, help="times that each page is read (default 1)")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="only each Nth page")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
