"""The whole page: headline, sections, and the frame that holds them without reaching for anything outside."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from pipeline.report import accounts, deduplication, distributions, figures, funnel
from pipeline.report.markup import Markup, join, tag
from pipeline.report.stats import Stats


def page(stats: Stats) -> str:
    """Return the report as one HTML file."""
    style, script = (Markup(_data(name)) for name in ("page.css", "page.js"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"falconmix: {_pages_and_documents(stats)}"),
        tag("style", style),
    )
    sections = (
        funnel.section(stats),
        funnel.reasons(stats),
        accounts.datasets(stats),
        accounts.inputs(stats),
        accounts.languages(stats),
        distributions.section(stats),
        deduplication.section(stats),
        accounts.domains(stats),
        accounts.processor_time(stats),
    )
    body = tag("body", _headline(stats), tag("main", *sections), _footer(stats), tag("script", script))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _headline(stats: Stats) -> Markup:
    totals = stats.totals
    kept = figures.share(totals.published, totals.captures)
    source = f"{figures.noun(len(stats.inputs), 'file')}, {figures.size(totals.size_bytes)}"
    return tag(
        "header",
        tag("p", "falconmix", tag("span", f"recipe {stats.recipe}"), class_="brand"),
        tag(
            "h1",
            _amount(totals.captures, "page", "in"),
            tag("span", "→", class_="arrow", aria_hidden="true"),
            _amount(totals.published, "document", "out"),
        ),
        tag("p", f"{kept} of the pages kept · {source} · {_languages(stats)}", class_="lead"),
        tag(
            "p",
            _check(stats.bytes_add_up, "Every byte accounted for", "Bytes do not add up"),
            _check(stats.captures_add_up, "Every page accounted for", "Pages do not add up"),
            _aside(stats.totals.damaged_ranges, "damaged range", "set aside"),
            _aside(stats.totals.poisoned, "page", "given up at a limit"),
            class_="checks",
        ),
    )


def _amount(number: int, one: str, way: str) -> Markup:
    figure, _, name = figures.noun(number, one).partition(" ")
    return tag("span", tag("b", figure), f" {name} {way}", class_=way)


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


def _footer(stats: Stats) -> Markup:
    told = f"All figures are in stats.json beside this page (format {stats.format}). "
    more = join("What became of one page: ", tag("code", "falconmix why OUT URL"))
    return tag("footer", tag("p", told, more))


def _policy(script: str) -> str:
    """Nothing may be loaded, and no script but this page's own may run, whatever a crawled name contains."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _data(name: str) -> str:
    return (resources.files("pipeline.report") / name).read_text(encoding="utf-8")
