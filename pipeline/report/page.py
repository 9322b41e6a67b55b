"""The whole page: headline, sections, and the frame that holds them without reaching for anything outside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources

from pipeline.report import accounts, corpus, deduplication, distributions, figures, funnel, tables
from pipeline.report.markup import Markup, join, tag
from pipeline.report.stats import Stats


def page(stats: Stats) -> str:
    """Return the report as one HTML file."""
    sections = (
        funnel.section(stats.funnel, stats.totals.captures),
        funnel.reasons(stats),
        accounts.datasets(stats),
        accounts.inputs(stats),
        accounts.languages(stats),
        distributions.section(stats),
        deduplication.section(stats.deduplication, stats.histograms.cluster_size),
        accounts.domains(stats),
        accounts.processor_time(stats),
    )
    return _framed(_pages_and_documents(stats), _headline(stats), sections, stats.format, "URL")


def corpus_page(stats: corpus.CorpusStats) -> str:
    """Return the report of a run of `falconmix dedup` as one HTML file."""
    return _framed(corpus.title(stats), corpus.header(stats), corpus.sections(stats), stats.format, "FILE:ROW")


def _framed(title: str, header: Markup, sections: Iterable[Markup | None], format_: int, name: str) -> str:
    style, script = (Markup(_data(name)) for name in ("page.css", "page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"falconmix: {title}"),
        tag("style", style),
    )
    body = tag("body", header, tag("main", *sections), _footer(format_, name), tag("script", script))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _headline(stats: Stats) -> Markup:
    totals = stats.totals
    kept = figures.share(totals.published, totals.captures)
    source = f"{figures.noun(len(stats.inputs), 'file')}, {figures.size(totals.size_bytes)}"
    return tables.headline(
        "falconmix",
        stats.recipe,
        tables.amount(totals.captures, "page", "in"),
        tables.amount(totals.published, "document", "out"),
        f"{kept} of the pages kept · {source} · {_languages(stats)}",
        tag(
            "p",
            _check(stats.bytes_add_up, "Every byte accounted for", "Bytes do not add up"),
            _check(stats.captures_add_up, "Every page accounted for", "Pages do not add up"),
            _aside(stats.totals.damaged_ranges, "damaged range", "set aside"),
            _aside(stats.totals.poisoned, "page", "given up at a limit"),
            class_="checks",
        ),
    )


def _pages_and_documents(stats: Stats) -> str:
    pages = figures.noun(stats.totals.captures, "page")
    return f"{pages} in, {figures.noun(stats.totals.published, 'document')} out"


def _languages(stats: Stats) -> str:
    named = " ".join(stats.languages)
    return f"{figures.noun(len(stats.languages), 'language')} asked for{f': {named}' if named else ''}"


def _check(holds: bool, good: str, bad: str) -> Markup:
    return tag(
        "a", f"✓ {good}" if holds else f"✗ {bad}", href="#inputs", class_="check holds" if holds else "check fault"
    )


def _aside(number: int, one: str, fate: str) -> Markup | None:
    return tag("a", f"{figures.noun(number, one)} {fate}", href="#inputs", class_="check") if number else None


def _footer(format_: int, name: str) -> Markup:
    told = f"All figures are in stats.json beside this page (format {format_}). "
    more = join("What became of one page: ", tag("code", f"falconmix why OUT {name}"))
    return tag("footer", tag("p", told, more))


def _policy(script: str) -> str:
    """Nothing may be loaded, and no script but this page's own may run, whatever a crawled name contains."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _data(name: str) -> str:
    return (resources.files("pipeline.report") / name).read_text(encoding="utf-8")
