"""The removal funnel on the page: each step's toll, and the rules that took it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report import figures, tables
from pipeline.report.charts import bar
from pipeline.report.glossary import rule_phrase, stage_phrase
from pipeline.report.markup import Markup, join, tag
from pipeline.report.stats import Stats, Step

_REASONS = 8
_HEADINGS = [tag("span", text) for text in ("step", "", "pages left", "of all", "removed")]


def section(funnel: Sequence[Step], captures: int) -> Markup:
    """One line per step, opening on its rules; `captures` came in."""
    steps = [tag("li", _step(step, captures)) for step in funnel]
    return tables.section(
        "funnel",
        "What was left after each step",
        tables.legend(("kept", "goes on"), ("removed", "removed by this step"), ("track", "gone before")),
        tag("div", *_HEADINGS, class_="step headings", aria_hidden="true"),
        tag("ol", *steps, class_="funnel"),
        aside=tag("button", "Open all", type="button", id="toggle", hidden=True),
    )


def reasons(stats: Stats) -> Markup:
    """The rules that took most, over all steps."""
    tolls = [(toll, step.stage, rule) for step in stats.funnel for rule, toll in step.rules.items() if toll]
    tolls.sort(key=lambda row: -row[0])
    largest = tolls[0][0] if tolls else 0
    head = (
        tables.column("Rule"),
        tables.column("Why it drops a page"),
        tables.drawing_column(),
        tables.figures_column("Pages"),
        tables.figures_column("Of all removed"),
    )
    rows = [
        (
            tables.row_name(tables.title(rule), tables.title(stage)),
            tables.words(rule_phrase(stage, rule)),
            tables.drawing(bar([("removed", toll)], largest)),
            tables.figure(figures.count(toll)),
            tables.figure(figures.share(toll, stats.totals.rejected)),
        )
        for toll, stage, rule in tolls[:_REASONS]
    ]
    body = tables.table(head, rows, label="Largest tolls") if rows else tables.nothing("Nothing was removed.")
    return tables.section("reasons", "Largest reasons for removal", body)


def _step(step: Step, captures: int) -> Markup:
    line = join(
        tag("span", tag("strong", tables.title(step.stage)), tag("small", stage_phrase(step.stage)), class_="name"),
        bar([("kept", step.left), ("removed", step.removed)], captures),
        tag("span", figures.count(step.left), tables.spoken(" pages left,"), class_="left"),
        tag("span", figures.share(step.left, captures), tables.spoken(" of all pages,"), class_="share"),
        tag("span", figures.loss(step.removed), tables.spoken(" pages"), class_="toll"),
    )
    if not step.rules and not step.unexplained:
        return tag("div", line, class_="step")
    return tag("details", tag("summary", line, class_="step"), _rules(step))


def _rules(step: Step) -> Markup:
    head = (
        tables.column("Rule"),
        tables.column("Why it drops a page"),
        tables.drawing_column(),
        tables.figures_column("Pages"),
        tables.figures_column("Of pages in"),
    )
    ordered = sorted(step.rules.items(), key=lambda row: (-row[1], row[0]))
    rows = [
        (
            tables.row_name(tables.title(rule)),
            tables.words(rule_phrase(step.stage, rule)),
            tables.drawing(bar([("removed", toll)], step.removed)),
            tables.figure(figures.count(toll)),
            tables.figure(figures.share(toll, step.entered)),
        )
        for rule, toll in ordered
    ]
    return tag(
        "div", tables.table(head, rows, label=f"Rules of {tables.title(step.stage)}"), _fault(step), class_="rules"
    )


def _fault(step: Step) -> Markup | None:
    if not step.unexplained:
        return None
    text = (
        f"✗ {figures.count(step.removed)} removed, but the rules account for {figures.count(sum(step.rules.values()))}."
    )
    return tag("p", text, class_="fault")
