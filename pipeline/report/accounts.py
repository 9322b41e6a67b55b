"""The page's tables of accounts: the two sums of every file, languages, domains, datasets, processor time."""

from __future__ import annotations

from pipeline.report import figures, tables
from pipeline.report.charts import bar
from pipeline.report.markup import Markup, tag
from pipeline.report.stats import DomainFigures, InputFile, LanguageFigures, Stats, Totals

_FILES_SHOWN = 100
_RULES_SHOWN = 3


def inputs(stats: Stats) -> Markup:
    """Both sums for each file, faulty files first."""
    files = sorted(stats.inputs, key=lambda file: file.adds_up)
    hidden = len(files) - _FILES_SHOWN
    head = (
        tables.column("File"),
        *map(tables.figures_column, ("Bytes", "Records", "Padding", "Damaged")),
        tables.column("Sum"),
        *map(tables.figures_column, ("Pages", "Published", "Rejected")),
        tables.column("Sum"),
    )
    rows = [_file(stats.totals), *map(_file, files[:_FILES_SHOWN])]
    return tables.section(
        "inputs",
        "Nothing is lost silently",
        tag(
            "p",
            "Bytes are records, padding or damaged ranges; pages are published or rejected. Checked for every file.",
        ),
        tables.table(head, rows, label="Sums by file"),
        tag("p", f"{figures.noun(hidden, 'more file')} in stats.json.", class_="note") if hidden > 0 else None,
        tag("p", _other_records(stats.totals), class_="note"),
    )


def _file(file: InputFile) -> tuple[Markup, ...]:
    sizes = (file.size_bytes, file.record_bytes, file.padding_bytes, file.damaged_bytes)
    pages = (file.captures, file.published, file.rejected)
    return (
        tables.row_name(file.warc_path.rsplit("/", 1)[-1]),
        *[tables.figure(figures.count(n_bytes)) for n_bytes in sizes],
        tables.verdict(file.bytes_add_up, "bytes"),
        *[tables.figure(figures.count(n)) for n in pages],
        tables.verdict(file.captures_add_up, "pages"),
    )


def _other_records(totals: Totals) -> str:
    others = ", ".join(f"{figures.count(n)} {kind}" for kind, n in sorted(totals.other_records.items()) if n)
    counted = f"Counted apart: {others} records." if others else "No other records."
    return f"{counted} Damage: {figures.noun(totals.damaged_ranges, 'range')}, {figures.size(totals.damaged_bytes)}."


def languages(stats: Stats) -> Markup:
    """What became of each language's pages, most published first."""
    ordered = sorted(stats.by_language.items(), key=lambda row: (-row[1].published, -row[1].rejected, row[0]))
    largest = max((row.published + row.rejected for row in stats.by_language.values()), default=0)
    head = (
        tables.column("Language"),
        tables.drawing_column(),
        *map(tables.figures_column, ("Published", "Rejected", "Kept", "Characters")),
        tables.column("Most often dropped by"),
    )
    rows = [_language(name, row, largest) for name, row in ordered]
    body = tables.table(head, rows, label="Languages", tall=True) if rows else tables.nothing("No page has a language.")
    return tables.section(
        "languages", "By language", tables.legend(("kept", "published"), ("removed", "rejected")), body
    )


def _language(name: str, row: LanguageFigures, largest: int) -> tuple[Markup, ...]:
    worst = sorted(row.rules.items(), key=lambda rule: (-rule[1], rule[0]))[:_RULES_SHOWN]
    reasons = ", ".join(f"{tables.title(rule.partition(':')[2])} {figures.count(toll)}" for rule, toll in worst if toll)
    return (
        tables.row_name(name),
        tables.drawing(bar([("kept", row.published), ("removed", row.rejected)], largest)),
        tables.figure(figures.count(row.published)),
        tables.figure(figures.count(row.rejected)),
        tables.figure(figures.share(row.published, row.published + row.rejected)),
        tables.figure(figures.compact(row.chars)),
        tables.words(reasons),
    )


def domains(stats: Stats) -> Markup:
    """The largest domains."""
    largest = max((row.captures for row in stats.by_domain), default=0)
    head = (
        tables.column("Domain"),
        tables.drawing_column(),
        *map(tables.figures_column, ("Pages", "Published", "Rejected", "Kept")),
    )
    rows = [_domain(row, largest) for row in stats.by_domain]
    body = tables.table(head, rows, label="Domains", tall=True) if rows else tables.nothing("No page has a domain.")
    return tables.section("domains", "Largest domains", body)


def _domain(row: DomainFigures, largest: int) -> tuple[Markup, ...]:
    return (
        tables.row_name(row.domain or "no domain"),
        tables.drawing(bar([("kept", row.published), ("removed", row.rejected)], largest)),
        tables.figure(figures.count(row.captures)),
        tables.figure(figures.count(row.published)),
        tables.figure(figures.count(row.rejected)),
        tables.figure(figures.share(row.published, row.captures)),
    )


def datasets(stats: Stats) -> Markup:
    """What was published, and how large it is."""
    largest = max((row.chars for row in stats.datasets), default=0)
    head = (
        tables.column("Dataset"),
        tables.drawing_column(),
        *map(tables.figures_column, ("Documents", "Characters", "Mean length", "Shards")),
    )
    rows = [
        (
            tables.row_name(row.name),
            tables.drawing(bar([("kept", row.chars)], largest)),
            tables.figure(figures.count(row.documents)),
            tables.figure(figures.compact(row.chars)),
            tables.figure(figures.count(round(row.chars / row.documents)) if row.documents else "–"),
            tables.figure(figures.count(row.shards)),
        )
        for row in stats.datasets
    ]
    body = tables.table(head, rows, label="Sizes of datasets") if rows else tables.nothing("Nothing was published.")
    return tables.section("datasets", "Datasets", body)


def processor_time(stats: Stats) -> Markup | None:
    """Processor time by stage, where the run measured it."""
    if stats.cpu_seconds is None or not stats.cpu_seconds.by_stage:
        return None
    spent = stats.cpu_seconds.by_stage
    whole_ms = round(1000 * sum(spent.values()))
    head = (
        tables.column("Work"),
        tables.drawing_column(),
        *map(tables.figures_column, ("Seconds", "Share", "ms a page")),
    )
    rows = [
        (
            tables.row_name(tables.title(stage)),
            tables.drawing(bar([("kept", round(1000 * seconds))], whole_ms)),
            tables.figure(f"{seconds:,.1f}"),
            tables.figure(figures.share(round(1000 * seconds), whole_ms)),
            tables.figure(f"{1000 * seconds / stats.totals.captures:.2f}" if stats.totals.captures else "–"),
        )
        for stage, seconds in sorted(spent.items(), key=lambda row: (-row[1], row[0]))
    ]
    return tables.section("time", "Processor time", tables.table(head, rows, label="Seconds by work"))
