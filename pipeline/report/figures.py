"""How figures are written for people."""

from __future__ import annotations

_NONE = "–"
_PREFIXES = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))


def count(number: int) -> str:
    """1516 → `1,516`."""
    return f"{number:,}"


def noun(number: int, one: str, many: str = "") -> str:
    """1 → `1 file`, 4 → `4 files`; an irregular plural is given as `many`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def loss(number: int) -> str:
    """What a step took: 38 → `−38`, 0 → `0`; a step that gave pages, which is a fault, shows as `+38`."""
    return f"{-number:+,}".replace("-", "−") if number else "0"


def share(part: int, whole: int) -> str:
    """A percentage with one decimal which never rounds something to nothing, nor nearly all to all."""
    if whole <= 0:
        return _NONE
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def compact(number: float) -> str:
    """Three figures and a metric prefix: 1234567 → `1.23 M`; small numbers as they are."""
    for factor, prefix in _PREFIXES:
        # 999,950 would print as `1e+03 k`: the next prefix starts where rounding reaches it.
        if abs(number) >= factor * 0.9995:
            return f"{number / factor:.3g} {prefix}"
    return f"{number:.3g}"


def size(n_bytes: int) -> str:
    """9356980 → `9.36 MB`."""
    scaled = compact(n_bytes)
    return f"{scaled}B" if " " in scaled else f"{scaled} B"
