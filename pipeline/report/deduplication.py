"""The page's section on deduplication: how alike, how many, of whom, and what they look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.report import figures, tables
from pipeline.report.charts import bar
from pipeline.report.cluster_sizes import clusters
from pipeline.report.distributions import binned, captioned
from pipeline.report.markup import Markup, join, tag
from pipeline.report.stats import Deduplication, Name, Removal, TopCluster, TopPassage

_SHOWN = 12
"""Rows of each table that are not folded."""
_BRIEF_CHARS = 110
_KINDS = {"language": "Language", "domain": "Domain"}


def section(told: Deduplication | None, cluster_size: Mapping[int, int]) -> Markup:
    """The size of clusters, and where the run has it, all that deduplication shows of itself."""
    sizes = clusters(cluster_size)
    if told is None:
        return tables.section("deduplication", "Deduplication", tag("div", sizes, class_="charts"))
    return tables.section(
        "deduplication",
        "Deduplication",
        tag("p", _in_short(told)),
        tag("div", _similarity(told), sizes, _lengths(told), class_="charts"),
        *[_removal(told, kind, heading) for kind, heading in _KINDS.items()],
        _top_clusters(told.top_clusters),
        _top_passages(told.top_passages),
    )


def _in_short(told: Deduplication) -> str:
    counts = {name: sum(bins) for name, bins in told.similarity.counts.items()}
    pairs = figures.noun(counts.get("edges", 0), "verified pair")
    indexed = f", {figures.count(counts['indexed'])} with documents of the index" if counts.get("indexed") else ""
    joined = figures.noun(sum(told.cluster_size.values()), "cluster")
    cut = figures.noun(sum(map(sum, told.passage_bytes.counts.values())), "repeated passage")
    return f"{pairs} of near-duplicates{indexed}; {joined}; {cut}."


def _similarity(told: Deduplication) -> Markup:
    chart = binned(told.similarity, "Similarity of near-duplicates", "Jaccard similarity", lambda edge: f"{edge:.2f}")
    return captioned(chart, "Similarity", "Verified pairs, each counted once.")


def _lengths(told: Deduplication) -> Markup:
    chart = binned(told.passage_bytes, "Length of repeated passages", "bytes", figures.compact)
    return captioned(chart, "Repeated passages", "Passages by their bytes; the ranges widen to the right.")


def _removal(told: Deduplication, kind: str, heading: str) -> Markup:
    rows = told.removal.get(kind, [])
    if not rows:
        return join(tag("h3", f"Removed, by {kind}"), tables.nothing("Nothing was removed."))
    head = (
        tables.column(heading),
        tables.drawing_column(),
        tables.figures_column("Pages in"),
        *[tables.figures_column(tables.title(step)) for step in told.steps],
        tables.figures_column("Removed"),
        tables.figures_column("Repeated bytes"),
    )
    largest = max(sum(row.removed.values()) for row in rows)
    table = tables.folded(
        head, [_removed(row, told.steps, largest) for row in rows], label=f"Removed by {kind}", shown=_SHOWN
    )
    return join(tag("h3", f"Removed, by {kind}"), table)


def _removed(row: Removal, steps: Sequence[str], largest: int) -> tuple[Markup, ...]:
    removed = sum(row.removed.values())
    return (
        tables.row_name(row.name or "none"),
        tables.drawing(bar([("removed", removed)], largest)),
        tables.figure(figures.count(row.pages)),
        *[tables.figure(figures.count(row.removed.get(step, 0))) for step in steps],
        tables.figure(figures.share(removed, row.pages)),
        tables.figure(figures.compact(row.passage_bytes)),
    )


def _top_clusters(found: Sequence[TopCluster]) -> Markup:
    heading = tag("h3", "Largest clusters of near-duplicates")
    if not found:
        return join(heading, tables.nothing("No two pages were alike."))
    head = (
        tables.figures_column("Pages"),
        tables.column("Languages"),
        tables.column("Domains"),
        tables.column("The page kept for them"),
    )
    rows = [
        (
            tables.figure(figures.count(row.n_documents)),
            _few(row.languages),
            _few(row.domains, row.n_domains),
            _sample(row.url, row.text, row.representative_id),
        )
        for row in found
    ]
    note = tag("p", "All members are in dedup/clusters.parquet.")
    return join(heading, note, tables.folded(head, rows, label="Largest clusters", shown=_SHOWN))


def _top_passages(found: Sequence[TopPassage]) -> Markup:
    heading = tag("h3", "Most repeated passages")
    if not found:
        return join(heading, tables.nothing("No passage was found twice."))
    head = (
        *map(tables.figures_column, ("Times cut", "Pages", "Bytes each")),
        tables.column("Domains"),
        tables.column("The passage, and where its first copy is"),
    )
    rows = [
        (
            tables.figure(figures.count(row.n_cuts)),
            tables.figure(figures.count(row.n_documents)),
            tables.figure(figures.count(row.length_bytes)),
            _few(row.domains, row.n_domains),
            _sample(row.url, row.text, row.first_id),
        )
        for row in found
    ]
    note = tag("p", "Counted by the place where the first copy begins; all cuts are in dedup/spans.parquet.")
    return join(heading, note, tables.folded(head, rows, label="Most repeated passages", shown=_SHOWN))


def _few(names: Sequence[Name], n_names: int = 0) -> Markup:
    """The commonest names with their counts, and how many more there are."""
    told = [join(tag("bdi", name.name or "none"), f" {figures.count(name.n_documents)}") for name in names]
    if n_names > len(names):
        told.append(Markup(f"{figures.count(n_names - len(names))} more"))
    parts = [tag("span", name, "," if place < len(told) else None) for place, name in enumerate(told, 1)]
    return tag("td", *[part for name in parts for part in (" ", name)][1:], class_="few")


def _sample(url: str | None, text: str | None, page_id: str) -> Markup:
    """A text, opening on the whole of it, with the address; where neither is known, the id."""
    if text is None:
        return tag("td", tag("code", page_id), " in the index", class_="sample")
    brief = " ".join(text.split())
    written: Markup = tag("bdi", brief)
    if len(brief) > _BRIEF_CHARS:
        summary = tag("summary", tag("bdi", f"{brief[:_BRIEF_CHARS]}…"))
        written = tag("details", summary, tag("blockquote", text, dir="auto"))
    return tag("td", written, tag("bdi", url or page_id, class_="address"), class_="sample")
