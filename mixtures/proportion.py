"""Shares in proportion to sizes, flattened by a temperature: share ∝ size^(1/temperature).

At temperature 1 the shares are those of the sizes; the higher, the nearer to equal. Published exponents: 0.7 in
multilingual BERT, 0.5 in XLM (Conneau & Lample, arXiv 1901.07291, section 3.1), 0.3 in XLM-R (arXiv 1911.02116) and mT5
(arXiv 2010.11934); as temperatures 10/7, 2 and 10/3. The same numbers on every machine: no binary floating point.
"""

from __future__ import annotations

import decimal
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

_DIGITS: Final = 60
"""Precision in which a power that is no whole one is reckoned; 20 fewer are kept, since the last may be off by one."""


def proportional(sizes: Mapping[str, int | Fraction], temperature: Fraction, out_of: int) -> dict[str, int]:
    """Whole weights in proportion to `size^(1/temperature)` whose sum is `out_of`, in the order of `sizes`.

    Rounded by largest remainder, ties by name, so that the order of `sizes` decides nothing. Raises ValueError where
    a size or the temperature is not above 0, and where a weight would be rounded to nothing.
    """
    return _not_nothing(apportioned(_powers(sizes, temperature), out_of), out_of)


def proportional_within(
    sizes: Mapping[str, int | Fraction], temperature: Fraction, out_of: int, most: Mapping[str, int]
) -> dict[str, int]:
    """The same with no weight above its `most` (names may be missing there); what that frees goes to the others.

    Raises ValueError also where all are at their most and `out_of` is not reached.
    """
    parts = _powers(sizes, temperature)
    if all(name in most for name in sizes) and sum(most[name] for name in sizes) < out_of:
        reached = sum(most[name] for name in sizes)
        raise ValueError(f"most: only {reached} of {out_of} when all are at their most; allow more")
    fixed: dict[str, int] = {}  # never all: those left have room for what is left
    while True:
        free = {name: part for name, part in parts.items() if name not in fixed}
        left, whole = out_of - sum(fixed.values()), sum(free.values(), Fraction(0))
        above = {name: most[name] for name, part in free.items() if name in most and part * left > most[name] * whole}
        if not above:
            weights = fixed | apportioned(free, left)
            return _not_nothing({name: weights[name] for name in sizes}, out_of)
        fixed |= above


def apportioned(parts: Mapping[str, Fraction], out_of: int) -> dict[str, int]:
    """`out_of` divided in proportion to `parts`, in whole numbers, by largest remainder; ties by name."""
    whole = sum(parts.values(), Fraction(0))
    quotas = {name: part * out_of / whole for name, part in parts.items()}
    weights = {name: int(quota) for name, quota in quotas.items()}
    short = out_of - sum(weights.values())
    for name in sorted(parts, key=lambda name: (weights[name] - quotas[name], name))[:short]:
        weights[name] += 1
    return weights


def _powers(sizes: Mapping[str, int | Fraction], temperature: Fraction) -> dict[str, Fraction]:
    if not sizes:
        raise ValueError("sizes: there is none; give at least one")
    for name, size in sizes.items():
        if size <= 0:
            raise ValueError(f"sizes.{name}: {size} must be above 0; leave the name out instead")
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature} must be above 0; 1 keeps the proportions, more flattens them")
    return {name: _power(Fraction(size), 1 / temperature) for name, size in sizes.items()}


def _not_nothing(weights: dict[str, int], out_of: int) -> dict[str, int]:
    for name, weight in weights.items():
        if not weight:
            raise ValueError(f"sizes.{name}: its share is rounded to nothing out of {out_of}; give a greater `out_of`")
    return weights


def _power(size: Fraction, exponent: Fraction) -> Fraction:
    """`size ** exponent`: exact for whole exponents, else to 40 significant digits."""
    if exponent.denominator == 1:
        return size**exponent.numerator
    context = decimal.Context(prec=_DIGITS, rounding=decimal.ROUND_HALF_EVEN, Emax=10**9, Emin=-(10**9))
    base = context.divide(Decimal(size.numerator), Decimal(size.denominator))
    power = context.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
    return Fraction(decimal.Context(prec=_DIGITS - 20).plus(context.power(base, power)))
