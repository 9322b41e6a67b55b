"""A plan as one HTML page that needs nothing else: warnings, the two drawings, a legend and all figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Final

from mixtures.plan import Plan
from mixtures.plan_charts import Look, epochs_svg, looks, number, shares_svg, tokens_text

Cell = str | tuple[str, str | None]
"""Text, or text with the status of the value."""

_NAMED: Final = ("stage", "component")
_NAME: Final = ' class="name"'
_UNKNOWN: Final = "<p>No component's tokens are known: give the token files with <code>--tokens</code>.</p>"


def plan_page(plan: Plan) -> str:
    """The page; the same for the same plan."""
    template = Template((resources.files("mixtures") / "plan_page.html").read_text(encoding="utf-8"))
    total = sum(stage.tokens for stage in plan.stages)
    return template.substitute(
        name=escape(plan.name),
        summary=f"{tokens_text(total)} tokens in {len(plan.stages)} stage(s), from {len(plan.components)} component(s)",
        warnings=_warnings(plan.warnings),
        shares=shares_svg(plan),
        epochs=epochs_svg(plan) or _UNKNOWN,
        legend=_legend(plan),
        stages=_stages(plan),
        components=_components(plan),
        rows=_rows(plan),
    )


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return '<p class="fine">Nothing to warn of.</p>'
    lines = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<section class="warnings"><h2>{len(warnings)} warning(s)</h2><ul>{lines}</ul></section>'


def _legend(plan: Plan) -> str:
    look = looks(plan)
    return "".join(
        f"<li>{_sample(look[c.name])}{escape(c.name)} <small>{escape(c.kind.replace('_', ' '))}</small></li>"
        for c in plan.components
    )


def _sample(look: Look) -> str:
    return (
        f'<svg width="34" height="14" aria-hidden="true"><rect width="12" height="14" fill="{look.colour}"/>'
        f'<path class="line" d="M14 7h20" stroke="{look.colour}" stroke-dasharray="{look.dash}"/></svg>'
    )


def _stages(plan: Plan) -> str:
    rows = [
        (str(i), s.name, (f"{s.context:,}", s.context_status), (f"{s.tokens:,}", s.tokens_status), f"{s.first:,}")
        for i, s in enumerate(plan.stages, 1)
    ]
    return _table(("", "stage", "context", "tokens", "begins after"), rows)


def _components(plan: Plan) -> str:
    heads = ("component", "tokens drawn", "available", "epochs", "max_epochs", "never seen")
    rows = [
        (
            c.name,
            f"{c.tokens:,}",
            _count(c.available),
            _epochs(c.epochs),
            (number(c.max_epochs), c.max_epochs_status),
            _count(c.unseen),
        )
        for c in plan.components
    ]
    return _table(heads, rows)


def _rows(plan: Plan) -> str:
    heads = (
        "stage",
        "component",
        "share",
        "sequences",
        "tokens",
        "epochs",
        "epochs so far",
        "windows",
        "left over",
        "padding",
        "cut",
    )
    rows = [
        (
            row.stage,
            row.component,
            (f"{row.share:.2%}", row.share_status),
            f"{row.sequences:,}",
            f"{row.tokens:,}",
            _epochs(row.epochs),
            _epochs(row.epochs_so_far),
            _count(row.windows),
            _count(row.left_over),
            _share(row.padding),
            _share(row.cut),
        )
        for row in plan.rows
    ]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th{_NAME if head in _NAMED else ''}>{head}</th>" for head in heads)
    names = [head in _NAMED for head in heads]
    body = "".join(f"<tr>{''.join(map(_cell, row, names))}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell, is_name: bool) -> str:
    text, status = (cell, None) if isinstance(cell, str) else cell
    word = f' <span class="status {status}">{status.replace("_", " ")}</span>' if status else ""
    return f"<td{_NAME if is_name else ''}>{escape(text)}{word}</td>"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _epochs(value: float | None) -> str:
    return "–" if value is None else number(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
