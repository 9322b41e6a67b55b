"""The mixture recipe: which components, in which stages, in which exact shares.

    components   what can be drawn from: token folders under one root, whole or by conditions on their documents
    groups       several components that share one weight, for instance the languages of RefinedWeb-Europe
    stages       context length, token budget and weights, in the order in which they are trained
    changes      the log: what was changed while training ran, each entry with the position from which it holds

Weights are exact: whole numbers out of the stage's `out_of`, or fractions; a sum that is off is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from mixtures.components import Component, check_sum
from mixtures.errors import RecipeError
from mixtures.log import Change, MaskedDocuments
from mixtures.proportion import proportional
from mixtures.strict import load, read_yaml, unmarked


@dataclass(frozen=True, kw_only=True)
class Proportional:
    """Shares by rule: in proportion to `sizes`, flattened by a temperature (see `mixtures.proportion`)."""

    sizes: dict[str, Fraction]
    temperature: Fraction


@dataclass(frozen=True, kw_only=True)
class Group:
    """Components under one name; a weight given to the name is divided among them by `shares` or `proportional`."""

    name: str
    shares: dict[str, Fraction] | None = None
    proportional: Proportional | None = None
    out_of: Fraction = Fraction(1)

    def __post_init__(self) -> None:
        if (self.shares is None) == (self.proportional is None):
            raise ValueError(f"group {self.name!r} needs shares or proportional, and not both")
        if self.shares is not None:
            check_sum(self.shares, self.out_of, "shares")
        elif self.out_of.denominator != 1:
            raise ValueError(f"out_of: {self.out_of} must be a whole number where shares are proportional")
        self.parts()

    def parts(self) -> dict[str, Fraction]:
        """Share of each component; the sum is 1."""
        return dict(self._parts)

    @cached_property
    def _parts(self) -> dict[str, Fraction]:
        # Once: a rule's powers are reckoned in many digits, and every component asks for its share in every stage.
        shares: Mapping[str, Fraction | int] = self.shares or {}
        if self.proportional is not None:
            rule = self.proportional
            shares = proportional(rule.sizes, rule.temperature, int(self.out_of))
        return {name: Fraction(share) / self.out_of for name, share in shares.items()}


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
        check_sum(self.weights, self.out_of, "weights")

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
    """Components from the start; the log may add others (`all_components`)."""
    stages: tuple[Stage, ...]
    held_out: Fraction
    """Share of each token folder kept for evaluation: its last documents, never scheduled."""
    groups: tuple[Group, ...] = ()
    packing: Literal["concatenate", "best_fit"] = "concatenate"
    """How documents fill windows: one after another, each ended by the end-of-document token, and cut where the window
    ends; or each into the window that it fits best, by a plan made beforehand (`mixtures.best_fit`)."""
    attention: Literal["window", "document"] = "window"
    """What a token may look back on: all of its window, or its own document alone."""
    positions: Literal["window", "document"] = "window"
    """Where positions are counted from: the start of the window, or that of each document in it."""
    changes: tuple[Change, ...] = ()
    """The log, in order of the positions."""
    statuses: Literal["required", "optional"] = "optional"
    """`required`: every number of the recipe must carry a status (see `mixtures.strict`)."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out: {self.held_out} must be at least 0 and below 1")
        if not self.stages:
            raise ValueError("stages: there is none; add at least one")
        components, groups = [c.name for c in self.components], [group.name for group in self.groups]
        _check_unique("components and groups", [c.name for c in self.all_components] + groups)
        _check_unique("stages", [stage.name for stage in self.stages])
        for i, group in enumerate(self.groups):
            rule = "shares" if group.shares else "proportional.sizes"
            _check_known(f"groups[{i}].{rule}", group.parts(), components)
        for i, stage in enumerate(self.stages):
            _check_known(f"stages[{i}].weights", stage.weights, components + groups)
        self._check_log(components + groups)

    def _check_log(self, known: list[str]) -> None:
        last = 0
        for i, change in enumerate(self.changes):
            if not last <= change.at < self.sequences:
                raise ValueError(
                    f"changes[{i}].at: {change.at} must be from {last} to {self.sequences - 1}: the log is in order "
                    "of positions, which are numbers of sequences"
                )
            last = change.at
            known = known + [component.name for component in change.components]
            _check_known(f"changes[{i}].weights", change.weights, known)

    @property
    def sequences(self) -> int:
        """Length of the whole training in sequences."""
        return sum(stage.sequences for stage in self.stages)

    @property
    def parts_documents(self) -> bool:
        """Whether it matters to the model where documents end."""
        return "document" in (self.attention, self.positions)

    @property
    def all_components(self) -> tuple[Component, ...]:
        """The components from the start, then those that the log adds."""
        return self.components + tuple(component for change in self.changes for component in change.components)

    def component(self, name: str) -> Component:
        """The component called `name`. Raises KeyError."""
        for component in self.all_components:
            if component.name == name:
                return component
        raise KeyError(name)

    def shares(self, weighed: Stage | Change) -> dict[str, Fraction]:
        """Exact share of each component, groups resolved, in the order of `all_components`; the sum is 1."""
        found = dict.fromkeys((component.name for component in self.all_components), Fraction(0))
        groups = {group.name: group for group in self.groups}
        for name, weight in weighed.weights.items():
            share = weight / weighed.out_of
            if name in groups:
                for member, part in groups[name].parts().items():
                    found[member] += share * part
            else:
                found[name] += share
        return {name: share for name, share in found.items() if share}

    def fingerprint(self) -> str:
        """BLAKE2b-128, as hex digits, of everything that decides the sequence of samples or names it."""
        decisive = asdict(self) | {"changes": [change.decisive() for change in self.changes]}
        content = json.dumps(decisive, sort_keys=True, default=str)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def load_mixture(recipe: str | Path) -> Mixture:
    """Read a mixture by the name of a shipped recipe (`falcon2-11b`) or by the path of a YAML file.

    Files that the log names are read too, relative to the recipe's folder. Raises RecipeError.
    """
    path = recipe_path(recipe)
    source = read_yaml(path)
    mixture = load(Mixture, source, name=str(path))
    missing = _without_status(source) if mixture.statuses == "required" else []
    if missing:
        raise RecipeError(f"{path}: {missing[0]}: has no status; write it as {{value: …, status: assumed}}")
    return replace(mixture, changes=tuple(_found(change, path) for change in mixture.changes))


def _found(change: Change, recipe: Path) -> Change:
    """The change with its list of documents found and its content fixed."""
    if change.mask is None or change.mask.file is None:
        return change
    # Absolute, since a run's record is read from other folders than the one in which it was started.
    return replace(change, mask=MaskedDocuments.of_file((recipe.parent / change.mask.file).absolute()))


def recipe_names() -> list[str]:
    """Names of the recipes that are shipped."""
    folder = resources.files("mixtures") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def recipe_path(recipe: str | Path) -> Path:
    """The file of a recipe given by name or by path. Raises RecipeError for a name that is not shipped."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    if str(recipe) not in recipe_names():
        raise RecipeError(
            f"{recipe}: neither a file nor a shipped mixture; shipped are {', '.join(recipe_names())}, "
            "a file's name ends in .yaml"
        )
    return Path(str(resources.files("mixtures") / "recipes" / f"{recipe}.yaml"))


def _without_status(source: Mapping[str, Any]) -> list[str]:
    """Unmarked numbers but for the seed, the denominators and the log, which claim nothing about the model."""
    return [
        name
        for name in unmarked(source)
        if name != "seed" and not name.endswith("out_of") and not name.startswith("changes[")
    ]


def _check_unique(field: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{field}: the name {name!r} stands twice; rename one")


def _check_known(field: str, named: Mapping[str, Fraction], known: list[str]) -> None:
    for name in named:
        if name not in known:
            raise ValueError(f"{field}.{name}: no such component; there are {', '.join(known)}")
