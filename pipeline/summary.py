"""`report/stats.json`: the run in numbers, put together from what each unit and each shard counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pipeline.capture import CAPTURE_TYPES
from pipeline.errors import UsageError, WorkError
from pipeline.report import render
from pipeline.run import Run
from pipeline.shards import Shard
from pipeline.statistics import SCORE_EDGES, TEXT_CHARS_EDGES, total
from pipeline.store import Store
from stages.cascade import TAKEDOWN, UNDECIDED

NAME = "report/stats.json"
PAGE = "report/index.html"
DOMAINS_SHOWN = 50

Summary = dict[str, Any]
Record = dict[str, Any]
Published = Sequence[tuple[Shard, Record]]


def read_summary(store: Store) -> Summary:
    """The numbers of a finished run; UsageError where there is none."""
    if not store.exists(NAME):
        raise UsageError(f"{store.root}: no finished run here; give the folder that `falconmix curate --output` wrote")
    summary: Summary = store.read_json(NAME)
    return summary


def write_report(store: Store, summary: Summary, page: Callable[[Summary], str] = render) -> None:
    """Write the page, then the numbers: where they are, the report is whole."""
    with store.writing(PAGE) as path:
        path.write_text(page(summary), encoding="utf-8")
    store.write_json(NAME, summary)


def collect(
    run: Run, extracted: Sequence[Record], decided: Record, published: Published, nodes: Counter[str]
) -> Summary:
    """Put the numbers together.

    extracted: manifest records of the units. decided: that of deduplication. published: shards with theirs.
    """
    counted = [(shard, record["report"]) for shard, record in published]
    inputs = _inputs(extracted, counted)
    return {
        "format": 1,
        "recipe": run.recipe.name,
        "languages": list(run.recipe.languages),
        "inputs": inputs,
        "totals": _totals(extracted, inputs),
        **_counts(run.recipe.steps, inputs, counted),
        "corrections": _corrections(extracted),
        "near_duplicates": {name: decided["report"][name] for name in ("edges", "cut")},
        "passages": {name: decided["report"][name] for name in ("spans", "orphaned")},
        "bridged": decided["report"]["bridged"],
        "deduplication": decided["report"]["highlights"],
        "cpu_seconds": {"by_stage": _cpu_seconds(extracted, decided, published)},
        "nodes": dict(nodes),
    }


def recount(summary: Summary, steps: Sequence[str], published: Published) -> Summary:
    """The numbers of a run whose published files have changed since; all that is not counted from them stands.

    published: all shards with their reports.
    """
    by_input = _by_input(published)
    inputs = [source | _published_of(source["warc_path"], *by_input) for source in summary["inputs"]]
    totals = {name: sum(source[name] for source in inputs) for name in ("published", "rejected")}
    return summary | {"inputs": inputs, "totals": summary["totals"] | totals} | _counts(steps, inputs, published)


def _counts(steps: Sequence[str], inputs: Sequence[Record], published: Published) -> Record:
    """What is counted from the published files alone."""
    kept, dropped = _parted(published)
    return {
        "funnel": _funnel(steps, inputs, dropped),
        "by_language": _by_language(kept, dropped),
        "by_domain": _by_domain(kept, dropped),
        "histograms": _histograms(kept, dropped),
        "datasets": _datasets(kept),
    }


def _parted(published: Published) -> tuple[Published, Published]:
    kept = [(shard, report) for shard, report in published if shard.stage is None]
    return kept, [(shard, report) for shard, report in published if shard.stage is not None]


def _by_input(published: Published) -> tuple[Counter[str], Counter[str]]:
    """Pages published and pages rejected of each input."""
    kept, dropped = (total(report["inputs"] for _, report in part) for part in _parted(published))
    return kept, dropped


def _published_of(warc_path: str, published: Counter[str], rejected: Counter[str]) -> Record:
    return {"published": published[warc_path], "rejected": rejected[warc_path]}


def check_pages(summary: Summary) -> None:
    """Invariant 1, second sum: every page of every input is published or rejected."""
    for source in summary["inputs"]:
        if source["captures"] != source["published"] + source["rejected"]:
            raise WorkError(
                f"{source['warc_path']}: {source['captures']} pages, but {source['published']} published and "
                f"{source['rejected']} rejected; please report this file"
            )


def _inputs(extracted: Sequence[Record], published: Published) -> list[Record]:
    by_input = _by_input(published)
    return [
        {
            "warc_path": report["warc_path"],
            "size": report["size"],
            "records": report["record_bytes"],
            "padding": report["padding_bytes"],
            "damaged": report["damaged_bytes"],
            "damaged_ranges": report["damaged_ranges"],
            "counts": report["counts"],
            "captures": report["captures"],
            **_published_of(report["warc_path"], *by_input),
        }
        for report in (record["report"] for record in extracted)
    ]


def _totals(extracted: Sequence[Record], inputs: Sequence[Record]) -> Record:
    def add(name: str) -> int:
        return sum(source[name] for source in inputs)

    counts = total(source["counts"] for source in inputs)
    return {
        "captures": add("captures"),
        "published": add("published"),
        "rejected": add("rejected"),
        "bytes": add("size"),
        "record_bytes": add("records"),
        "padding_bytes": add("padding"),
        "damaged_bytes": add("damaged"),
        "damaged_ranges": add("damaged_ranges"),
        "other_records": {kind: n for kind, n in counts.items() if kind not in CAPTURE_TYPES},
        "poisoned": sum(record["report"]["poisoned"] for record in extracted),
    }


def _funnel(order: Sequence[str], inputs: Sequence[Record], dropped: Published) -> list[Record]:
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    for shard, report in dropped:
        rules[shard.stage or ""].update(report["rules"])
    steps, left = [], sum(source["captures"] for source in inputs)
    for stage in order:
        if stage in (TAKEDOWN, UNDECIDED) and not rules[stage]:
            continue  # no step of most runs
        out = left - rules[stage].total()
        steps.append({"stage": stage, "in": left, "out": out, "rules": dict(rules[stage].most_common())})
        left = out
    return steps


def _by_language(kept: Published, dropped: Published) -> dict[str, Record]:
    rows: dict[str, Record] = defaultdict(lambda: {"published": 0, "rejected": 0, "chars": 0, "rules": Counter()})
    for shard, report in kept:
        rows[shard.language or ""]["published"] += report["rows"]
        rows[shard.language or ""]["chars"] += report["chars"]
    for shard, report in dropped:
        for pair, n in report["language_rules"].items():
            language, rule = pair.split("\t")
            rows[language]["rejected"] += n
            rows[language]["rules"][f"{shard.stage}:{rule}"] += n
    return {language: row | {"rules": dict(row["rules"].most_common())} for language, row in sorted(rows.items())}


def _by_domain(kept: Published, dropped: Published) -> list[Record]:
    published = total(report["domains"] for _, report in kept)
    rejected = total(report["domains"] for _, report in dropped)
    both = published + rejected
    order = sorted(both, key=lambda domain: (-both[domain], domain))[:DOMAINS_SHOWN]
    return [
        {"domain": name, "captures": both[name], "published": published[name], "rejected": rejected[name]}
        for name in order
    ]


def _histograms(kept: Published, dropped: Published) -> Record:
    def both(name: str, edges: Sequence[float]) -> Record:
        counts = {"kept": _add_bins(kept, name, edges), "rejected": _add_bins(dropped, name, edges)}
        return {"edges": list(edges), "counts": counts}

    sizes = total(report["cluster_size"] for _, report in kept)
    return {
        "text_chars": both("text_chars", TEXT_CHARS_EDGES),
        "language_score": both("language_score", SCORE_EDGES),
        "cluster_size": {size: sizes[size] for size in sorted(sizes, key=int)},
    }


def _add_bins(shards: Published, name: str, edges: Sequence[float]) -> list[int]:
    bins: Iterable[Sequence[int]] = [[0] * (len(edges) - 1), *(report[name] for _, report in shards)]
    return [sum(column) for column in zip(*bins, strict=True)]


def _corrections(extracted: Sequence[Record]) -> Record:
    """Lines dropped or edited by language and rule, and addresses masked by kind, in pages that passed the filters."""
    lines: dict[str, Counter[str]] = defaultdict(Counter)
    for record in extracted:
        for language, rules in record["report"]["lines"].items():
            lines[language].update(rules)
    masked = total(record["report"]["masked"] for record in extracted)
    return {"lines": {language: dict(lines[language]) for language in sorted(lines)}, "masked": dict(masked)}


def _cpu_seconds(extracted: Sequence[Record], decided: Record, published: Published) -> dict[str, float]:
    """CPU seconds of the tasks by what they did, guarded processes included; the start of processes is in `pages`."""
    return {
        **total(record["report"]["cpu_s"] for record in extracted),
        "deduplicate": sum(decided["report"]["cpu_s"].values()),
        "publish": sum(record["report"]["cpu_s"] for _, record in published),
    }


def _datasets(kept: Published) -> list[Record]:
    rows: dict[str, Record] = {}
    for shard, report in kept:
        row = rows.setdefault(shard.folder, {"name": shard.folder, "documents": 0, "chars": 0, "shards": 0})
        row["documents"] += report["rows"]
        row["chars"] += report["chars"]
        row["shards"] += 1
    return list(rows.values())
