"""The mixture recipe: which components, in which stages, in which exact shares.

    components   what can be drawn from: token folders under one root
    groups       several components that share one weight, for instance the languages of RefinedWeb-Europe
    stages       context length, token budget and weights, in the order in which they are trained

Weights are exact: whole numbers out of the stage's `out_of`, or fractions; a sum that is off is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mixtures.errors import RecipeError
from mixtures.strict import load, read_yaml, unmarked


@dataclass(frozen=True, kw_only=True)
class Component:
    """A source that is drawn from as one: the token folders that match `tokens`, in order of their paths."""

    name: str
    tokens: tuple[str, ...]
    """Folders below the token root; `*` matches within one path segment (`RefinedWeb-Europe/lang=*`)."""
    kind: Literal["english_web", "european_web", "technical", "code", "conversational", "other"]
    max_epochs: Fraction
    """How often its tokens may be drawn in the whole training, all stages together; more is refused beforehand."""

    def __post_init__(self) -> None:
        if not self.tokens:
            raise ValueError(f"component {self.name!r} names no token folder; give at least one under `tokens`")
        for pattern in self.tokens:
            path = PurePosixPath(pattern)
            if path.is_absolute() or ".." in path.parts or not path.parts:
                raise ValueError(f"tokens: {pattern!r} must be a path below the token root, without '..'")
        if self.max_epochs <= 0:
            raise ValueError(f"max_epochs: {self.max_epochs} must be above 0")


@dataclass(frozen=True, kw_only=True)
class Group:
    """Components under one name; a weight given to the name is divided among them by `shares`."""

    name: str
    shares: dict[str, Fraction]
    out_of: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        _check_sum(self.shares, self.out_of, "shares")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stretch of training with one context length and one set of weights."""

    name: str
    context: int
    """Tokens that the model sees at once; a sequence carries one token more."""
    tokens: int
    """Token budget of the stage; it is passed by less than one sequence."""
    weights: dict[str, Fraction]
    """Share of the stage's sequences per component or group, out of `out_of`."""
    out_of: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if self.context < 1 or self.tokens < 1:
            raise ValueError(f"context ({self.context}) and tokens ({self.tokens}) must be at least 1")
        _check_sum(self.weights, self.out_of, "weights")

    @property
    def sequences(self) -> int:
        """Length of the stage in sequences: the token budget divided by the context, rounded up."""
        return -(-self.tokens // self.context)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A whole recipe; read one with `load_mixture`."""

    name: str
    seed: int
    components: tuple[Component, ...]
    stages: tuple[Stage, ...]
    held_out: Fraction
    """Share of each token folder kept for evaluation: its last documents, never scheduled."""
    groups: tuple[Group, ...] = ()
    packing: Literal["concatenate"] = "concatenate"
    """How documents fill windows: one after another, each ended by the end-of-document token."""
    statuses: Literal["required", "optional"] = "optional"
    """`required`: every number of the recipe must carry a status (see `mixtures.strict`)."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out: {self.held_out} must be at least 0 and below 1")
        if not self.stages:
            raise ValueError("stages: there is none; add at least one")
        components = [component.name for component in self.components]
        _check_unique("components and groups", components + [group.name for group in self.groups])
        _check_unique("stages", [stage.name for stage in self.stages])
        for i, group in enumerate(self.groups):
            _check_known(f"groups[{i}].shares", group.shares, components)
        for i, stage in enumerate(self.stages):
            _check_known(f"stages[{i}].weights", stage.weights, components + [group.name for group in self.groups])

    def component(self, name: str) -> Component:
        """The component called `name`. Raises KeyError."""
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    def shares(self, stage: Stage) -> dict[str, Fraction]:
        """Exact share of each component in `stage`, groups resolved, in the order of `components`; the sum is 1."""
        found = dict.fromkeys((component.name for component in self.components), Fraction(0))
        groups = {group.name: group for group in self.groups}
        for name, weight in stage.weights.items():
            share = weight / stage.out_of
            if name in groups:
                for member, part in groups[name].shares.items():
                    found[member] += share * part / groups[name].out_of
            else:
                found[name] += share
        return {name: share for name, share in found.items() if share}

    def fingerprint(self) -> str:
        """BLAKE2b-128, as hex digits, of everything that decides the sequence of samples or names it."""
        content = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def load_mixture(recipe: str | Path) -> Mixture:
    """Read a mixture by the name of a shipped recipe (`falcon2-11b`) or by the path of a YAML file.

    Raises RecipeError.
    """
    path = Path(recipe)
    if path.suffix not in (".yaml", ".yml") and not path.is_file():
        path = _shipped(str(recipe))
    source = read_yaml(path)
    mixture = load(Mixture, source, name=str(path))
    missing = _without_status(source) if mixture.statuses == "required" else []
    if missing:
        raise RecipeError(f"{path}: {missing[0]}: has no status; write it as {{value: …, status: assumed}}")
    return mixture


def recipe_names() -> list[str]:
    """Names of the recipes that are shipped."""
    folder = resources.files("mixtures") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _shipped(name: str) -> Path:
    if name not in recipe_names():
        raise RecipeError(
            f"{name}: neither a file nor a shipped mixture; shipped are {', '.join(recipe_names())}, "
            "a file's name ends in .yaml"
        )
    return Path(str(resources.files("mixtures") / "recipes" / f"{name}.yaml"))


def _without_status(source: Mapping[str, Any]) -> list[str]:
    """Unmarked numbers but for the seed and the denominators, which are notation and claim nothing."""
    return [name for name in unmarked(source) if name != "seed" and not name.endswith("out_of")]


def _check_sum(weights: Mapping[str, Fraction], out_of: Fraction, field: str) -> None:
    for name, weight in weights.items():
        if weight <= 0:
            raise ValueError(f"{field}.{name}: {weight} must be above 0; leave the name out instead")
    total = sum(weights.values(), Fraction(0))
    if total != out_of:
        raise ValueError(f"{field}: the sum is {total}, not {out_of}; correct the {field} or `out_of`")


def _check_unique(field: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{field}: the name {name!r} stands twice; rename one")


def _check_known(field: str, named: Mapping[str, Fraction], known: list[str]) -> None:
    for name in named:
        if name not in known:
            raise ValueError(f"{field}.{name}: no such component; there are {', '.join(known)}")
