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
    if not sizes:
        raise ValueError("sizes: there is none; give at least one")
    for name, size in sizes.items():
        if size <= 0:
            raise ValueError(f"sizes.{name}: {size} must be above 0; leave the name out instead")
    if temperature <= 0:
        raise ValueError(f"temperature: {temperature} must be above 0; 1 keeps the proportions, more flattens them")
    powers = {name: _power(Fraction(size), 1 / temperature) for name, size in sizes.items()}
    weights = apportioned(powers, out_of)
    for name, weight in weights.items():
        if not weight:
            raise ValueError(f"sizes.{name}: its share is rounded to nothing out of {out_of}; give a greater `out_of`")
    return weights


def apportioned(parts: Mapping[str, Fraction], out_of: int) -> dict[str, int]:
    """`out_of` divided in proportion to `parts`, in whole numbers, by largest remainder; ties by name."""
    whole = sum(parts.values(), Fraction(0))
    quotas = {name: part * out_of / whole for name, part in parts.items()}
    weights = {name: int(quota) for name, quota in quotas.items()}
    short = out_of - sum(weights.values())
    for name in sorted(parts, key=lambda name: (weights[name] - quotas[name], name))[:short]:
        weights[name] += 1
    return weights


def _power(size: Fraction, exponent: Fraction) -> Fraction:
    """`size ** exponent`: exact for whole exponents, else to 40 significant digits."""
    if exponent.denominator == 1:
        return size**exponent.numerator
    context = decimal.Context(prec=_DIGITS, rounding=decimal.ROUND_HALF_EVEN, Emax=10**9, Emin=-(10**9))
    base = context.divide(Decimal(size.numerator), Decimal(size.denominator))
    power = context.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
    return Fraction(decimal.Context(prec=_DIGITS - 20).plus(context.power(base, power)))
