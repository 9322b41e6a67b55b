"""The two drawings of a plan over training time, as SVG: shares of each stage, and epochs of each component.

x is the number of tokens trained on. Every area and line has its name beside it, tied by a thin line, and a tooltip
with its figures; colours go by kind of component, and lines differ in their dashes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from mixtures.plan import ComponentPlan, Plan, PlanRow

_LEFT: Final = 215
_PLOT: Final = 680
_RIGHT: Final = 250
_WIDTH: Final = _LEFT + _PLOT + _RIGHT
_TOP: Final = 52
_LINE: Final = 16
"""Height of a line of text in pixels; the type is of 13."""
_NAME: Final = 22
"""Characters of a name that are shown beside a drawing."""
_STAGE_LABEL: Final = 126
_FAR_BELOW: Final = 0.25
"""Where all components stay below this share of their max_epochs, the drawing shows that part alone."""

_COLOURS: Final = {
    "english_web": ("#2f6fb2",),
    "european_web": ("#1f8a70", "#5bb59c", "#2c9d86", "#86c9b4", "#177a5f"),
    "technical": ("#c9731d", "#e0a05c"),
    "code": ("#7a55b0", "#a488cc"),
    "conversational": ("#b8405e", "#d57a90"),
    "other": ("#7b7f85", "#a3a7ad"),
}
_DASHES: Final = ("", "7 3", "2 3", "9 3 2 3", "4 4", "12 4")


@dataclass(frozen=True)
class Look:
    """How a component is drawn."""

    colour: str
    dash: str


def looks(plan: Plan) -> dict[str, Look]:
    """A colour and a kind of line for each component; components of one kind take turns."""
    found: dict[str, Look] = {}
    for i, component in enumerate(plan.components):
        colours = _COLOURS.get(component.kind, _COLOURS["other"])
        before = sum(other.kind == component.kind for other in plan.components[:i])
        found[component.name] = Look(colours[before % len(colours)], _DASHES[i % len(_DASHES)])
    return found


def shares_svg(plan: Plan) -> str:
    """Shares of each stage as stacked areas, the first stage's names to the left, the last one's to the right."""
    scale, look = _Scale(plan, rows=max(len(_rows(plan, 0)), len(_rows(plan, -1)))), looks(plan)
    parts = [scale.stages()]
    for stage in range(len(plan.stages)):
        left, right = scale.stage(stage)
        for row, top, bottom in _stack(_rows(plan, stage)):
            parts.append(
                f'<rect class="area" x="{left:.2f}" y="{scale.y(top):.2f}" width="{right - left:.2f}" '
                f'height="{scale.height * (bottom - top):.2f}" fill="{look[row.component].colour}">'
                f"<title>{escape(_told(row))}</title></rect>"
            )
    for stage, x, side in ((0, _LEFT, -1), (len(plan.stages) - 1, _LEFT + _PLOT, 1)):
        stack = list(_stack(_rows(plan, stage)))
        names = [f"{_short(row.component)} {row.share:.1%}" for row, _, _ in stack]
        parts += scale.labels(names, [scale.y((top + bottom) / 2) for _, top, bottom in stack], x, side)
    return scale.svg(parts, "Share of each component in the tokens of each stage")


def epochs_svg(plan: Plan) -> str:
    """Epochs of each component, as a share of its max_epochs; empty where no component's tokens are known."""
    drawn = [component for component in plan.components if component.epochs is not None]
    if not drawn:
        return ""
    highest = max(_of_cap(component) for component in drawn)
    top = highest * 1.15 if highest < _FAR_BELOW else max(1.0, highest) * 1.06
    scale, look = _Scale(plan, rows=len(drawn)), looks(plan)
    parts = [scale.stages()]
    step = _step(top, 6)
    for i in range(int(top / step) + 1):
        y = scale.y(1 - i * step / top)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.2f}h{_PLOT}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.2f}" text-anchor="end">{100 * i * step:.3g}%</text>')
    parts.append(_cap(scale, top))
    for component in drawn:
        points = " ".join(f"{x:.2f},{scale.y(1 - y / top):.2f}" for x, y in _line(plan, scale, component))
        look_of = look[component.name]
        parts.append(
            f'<polyline class="line" points="{points}" stroke="{look_of.colour}" stroke-dasharray="{look_of.dash}">'
            f"<title>{escape(_reached(component))}</title></polyline>"
        )
    names = [f"{_short(component.name)} {_epochs(component)}" for component in drawn]
    heights = [scale.y(1 - _of_cap(component) / top) for component in drawn]
    parts += scale.labels(names, heights, _LEFT + _PLOT, 1)
    return scale.svg(parts, "Epochs of each component against its max_epochs")


def number(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def tokens_text(tokens: float) -> str:
    """A number of tokens in the largest unit that leaves it at 1 or more."""
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if tokens >= size:
            return f"{tokens / size:.3g} {unit}"
    return f"{tokens:.3g}"


class _Scale:
    """Where things stand in a drawing that has room for `rows` names beside it."""

    def __init__(self, plan: Plan, *, rows: int) -> None:
        self._plan = plan
        self._total = sum(stage.tokens for stage in plan.stages)
        self.height = max(300, rows * _LINE + 8)

    def x(self, tokens: float) -> float:
        return _LEFT + _PLOT * tokens / self._total

    def y(self, from_top: float) -> float:
        return _TOP + self.height * from_top

    def stage(self, index: int) -> tuple[float, float]:
        """Left and right end of a stage."""
        stage = self._plan.stages[index]
        return self.x(stage.first), self.x(stage.first + stage.tokens)

    def stages(self) -> str:
        """Bands, their names above them and the axis of tokens below."""
        ends = [self.stage(i) for i in range(len(self._plan.stages))]
        fits = len(ends) * _STAGE_LABEL <= _WIDTH
        names = [f"{_short(s.name)}: {s.context:,}" if fits else str(i) for i, s in enumerate(self._plan.stages, 1)]
        gap = _STAGE_LABEL if fits else 24
        centres = _spread([(left + right) / 2 for left, right in ends], gap, gap / 2, _WIDTH - gap / 2)
        parts = []
        for i, ((left, right), name, at) in enumerate(zip(ends, names, centres, strict=True)):
            parts.append(
                f'<rect class="band{i % 2}" x="{left:.2f}" y="{_TOP}" width="{right - left:.2f}" '
                f'height="{self.height}"/>'
                f'<path class="tie" d="M{at:.2f} 22L{(left + right) / 2:.2f} {_TOP - 3}"/>'
                f'<text x="{at:.2f}" y="17" text-anchor="middle">{escape(name)}</text>'
            )
        step = _step(self._total, 8)
        for i in range(int(self._total / step) + 1):
            x, y = self.x(i * step), _TOP + self.height
            parts.append(f'<path class="tie" d="M{x:.2f} {y}v5"/>')
            parts.append(f'<text x="{x:.2f}" y="{y + 20}" text-anchor="middle">{tokens_text(i * step)}</text>')
        return "".join(parts)

    def labels(self, names: Sequence[str], heights: Sequence[float], x: float, side: int) -> Iterator[str]:
        """Names beside the plot, each tied to its height; none stands on another."""
        anchor = "start" if side > 0 else "end"
        for name, height, y in zip(
            names, heights, _spread(heights, _LINE, _TOP + 6, _TOP + self.height - 2), strict=True
        ):
            yield f'<path class="tie" d="M{x} {height:.2f}L{x + side * 22} {y:.2f}"/>'
            yield f'<text x="{x + side * 26}" y="{y + 4:.2f}" text-anchor="{anchor}">{escape(name)}</text>'

    def svg(self, parts: Sequence[str], title: str) -> str:
        height = _TOP + self.height + 46
        axis = f'<text x="{_LEFT + _PLOT / 2}" y="{height - 6}" text-anchor="middle">tokens trained on</text>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">{"".join(parts)}{axis}</svg>'
        )


def _cap(scale: _Scale, top: float) -> str:
    """The line of max_epochs, or a word on where it is."""
    if top < 1:
        return f'<text class="cap-name" x="{_LEFT + 6}" y="{_TOP + 16}">max_epochs is far above, at 100%</text>'
    y = scale.y(1 - 1 / top)
    return (
        f'<path class="cap" d="M{_LEFT} {y:.2f}h{_PLOT}"/>'
        f'<text class="cap-name" x="{_LEFT + 6}" y="{y - 4:.2f}">max_epochs</text>'
    )


def _rows(plan: Plan, stage: int) -> list[PlanRow]:
    return [row for row in plan.rows if row.stage == plan.stages[stage].name]


def _stack(rows: Sequence[PlanRow]) -> Iterator[tuple[PlanRow, float, float]]:
    """Rows with the upper and lower end of their areas, the first on top."""
    top = 0.0
    for row in rows:
        yield row, top, top + row.share
        top += row.share


def _line(plan: Plan, scale: _Scale, component: ComponentPlan) -> Iterator[tuple[float, float]]:
    """Corners of a component's line: tokens as x, share of max_epochs as y."""
    so_far = 0.0
    yield scale.x(0), so_far
    for i in range(len(plan.stages)):
        for row in _rows(plan, i):
            if row.component == component.name and row.epochs_so_far is not None:
                so_far = row.epochs_so_far / component.max_epochs
        yield scale.stage(i)[1], so_far


def _of_cap(component: ComponentPlan) -> float:
    return (component.epochs or 0) / component.max_epochs


def _epochs(component: ComponentPlan) -> str:
    return f"{number(component.epochs or 0)} of {number(component.max_epochs)}"


def _told(row: PlanRow) -> str:
    return f"{row.component}: {row.share:.2%} of {row.stage}, {row.tokens:,} tokens"


def _reached(component: ComponentPlan) -> str:
    return f"{component.name}: {_epochs(component)} epochs, {component.tokens:,} tokens of {component.available:,}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"


def _step(total: float, most: int) -> float:
    """The least of 1, 2, 5, 10, … that divides `total` into `most` parts or fewer."""
    step = 10.0 ** (len(f"{int(total / most)}") - 1) if total >= most else 1e-3
    while True:
        for times in (1, 2, 5):
            if total / (step * times) <= most:
                return step * times
        step *= 10


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near to `wanted` as leaves `gap` between them, between `low` and `high`, in the same order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    floor = low
    for i in order:
        places[i] = max(wanted[i], floor)
        floor = places[i] + gap
    ceiling = high
    for i in reversed(order):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    return places
