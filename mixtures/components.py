"""What a mixture draws from: token folders, whole or by conditions on the columns of their documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a column of a document must hold: a number within bounds (both count), or one of several texts.

    A document without a value does not meet any condition.
    """

    column: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        bounded = self.at_least is not None or self.at_most is not None
        if bounded == (self.one_of is not None):
            raise ValueError(f"column {self.column!r} needs at_least or at_most, or one_of; give one of the two kinds")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A source that is drawn from as one: the token folders that match `tokens`, in order of their paths."""

    name: str
    tokens: tuple[str, ...]
    """Folders below the token root; `*` matches within one path segment (`RefinedWeb-Europe/lang=*`)."""
    kind: Literal["english_web", "european_web", "technical", "code", "conversational", "other"]
    max_epochs: Fraction
    """How often its tokens may be drawn in the whole training, all stages together; more is refused beforehand."""
    where: tuple[Condition, ...] = ()
    """Conditions that a document must meet, all of them; `falconmix mix` finds the documents beforehand."""

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError(f"component {self.name!r} names no token folder; give at least one under `tokens`")
        for pattern in self.tokens:
            path = PurePosixPath(pattern)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"tokens: {pattern!r} must be a path below the token root, without '..'")
        if self.max_epochs <= 0:
            raise ValueError(f"max_epochs: {self.max_epochs} must be above 0")


def check_sum(weights: Mapping[str, Fraction], out_of: Fraction, field: str) -> None:
    """Refuse weights that are not above 0 or whose sum is off. Raises ValueError."""
    for name, weight in weights.items():
        if weight <= 0:
            raise ValueError(f"{field}.{name}: {weight} must be above 0; leave the name out instead")
    total = sum(weights.values(), Fraction(0))
    if total != out_of:
        raise ValueError(f"{field}: the sum is {total}, not {out_of}; correct the {field} or `out_of`")
