"""The page's tables and small pieces of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.report import figures
from pipeline.report.markup import Markup, join, tag


def title(name: str) -> str:
    """`url_filter` → `url filter`: rules and steps as people read them."""
    return name.replace("_", " ")


def table(head: Sequence[Markup], rows: Iterable[Sequence[Markup]], *, label: str, tall: bool = False) -> Markup:
    """A table in a region of its own that scrolls by keyboard too: sideways on a narrow screen, and if `tall`, down."""
    body = tag("tbody", *[tag("tr", *row) for row in rows])
    whole = tag("table", tag("thead", tag("tr", *head)), body)
    return tag("div", whole, class_="scroll tall" if tall else "scroll", role="region", aria_label=label, tabindex=0)


def folded(head: Sequence[Markup], rows: Sequence[Sequence[Markup]], *, label: str, shown: int) -> Markup:
    """A table of the first rows, the others behind a line that opens on them."""
    rest = rows[shown:]
    more = tag("details", tag("summary", f"{len(rest)} more"), table(head, rest, label=f"{label}, more"), class_="more")
    return join(table(head, rows[:shown], label=label), more if rest else None)


def amount(number: int, one: str, way: str) -> Markup:
    """So many of something, `in` or `out`."""
    written, _, name = figures.noun(number, one).partition(" ")
    return tag("span", tag("b", written), f" {name} {way}", class_=way)


def headline(brand: str, recipe: str, entered: Markup, left: Markup, lead: str, *more: Markup) -> Markup:
    """The top of a page: what came in, and what went out."""
    arrow = tag("span", "→", class_="arrow", aria_hidden="true")
    return tag(
        "header",
        tag("p", brand, tag("span", f"recipe {recipe}"), class_="brand"),
        tag("h1", entered, arrow, left),
        tag("p", lead, class_="lead"),
        *more,
    )


def column(name: str) -> Markup:
    """Heading of a column of words."""
    return tag("th", name, scope="col")


def drawing_column() -> Markup:
    """Heading of a column of bars, which repeat the figures beside them."""
    return tag("td", class_="drawing")


def figures_column(name: str) -> Markup:
    """Heading of a column of numbers."""
    return tag("th", name, scope="col", class_="figure")


def row_name(name: str, note: str = "") -> Markup:
    """First cell of a row; names come from outside, so their direction of writing is kept from the rest."""
    return tag("th", tag("bdi", name), tag("small", f" {note}") if note else None, scope="row")


def figure(text: str) -> Markup:
    """Cell with a number."""
    return tag("td", text, class_="figure")


def words(text: object) -> Markup:
    """Cell with a phrase."""
    return tag("td", text, class_="words")


def drawing(bar: Markup) -> Markup:
    """Cell with a bar."""
    return tag("td", bar, class_="drawing")


def verdict(holds: bool, sum_of: str) -> Markup:
    """Cell that says whether a sum holds, in words for those who do not see the mark."""
    said = f"{sum_of} add up" if holds else f"{sum_of} do not add up"
    return tag("td", "✓" if holds else "✗", spoken(f" {said}"), class_="sum holds" if holds else "sum fault")


def spoken(text: str) -> Markup:
    """Words for screen readers alone."""
    return tag("span", text, class_="spoken")


def nothing(text: str) -> Markup:
    """What stands where a table would have no rows."""
    return tag("p", text, class_="none")


def legend(*entries: tuple[str, str]) -> Markup:
    """Colours (class names) and what they mean."""
    return tag("p", *[tag("span", tag("i", class_=name), text) for name, text in entries], class_="legend")


def section(name: str, heading: str, *body: object, aside: Markup | None = None) -> Markup:
    """A part of the page under its heading."""
    top = tag("h2", heading, id=name)
    if aside is not None:
        top = tag("div", top, aside, class_="heading")
    return tag("section", top, join(*body), aria_labelledby=name)
