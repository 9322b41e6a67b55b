"""Weights for languages from what there is of each: share ∝ tokens^(1/temperature), no more than `max_epochs` allows.

Asked for each group of a recipe; where it has none, for its components of kind `european_web`, as one group, and where
there is but one, for its token folders (`by_folder`). Where all members at their `max_epochs` do not give what is
wanted, the temperature alone decides, and the answer says so. A log is left aside: weights are for a training from its
start. The default temperature 10/3 is the exponent 0.3 of XLM-R and
mT5 (`mixtures.proportion` has the sources and others).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Final

import yaml

from mixtures.catalogue import Catalogue
from mixtures.components import Component
from mixtures.errors import RecipeError, SupplyError
from mixtures.holdings import Holdings
from mixtures.plan import Plan, plan
from mixtures.proportion import proportional, proportional_within
from mixtures.schedule import Schedule
from mixtures.spec import Group, Mixture, Stage

TEMPERATURE: Final = Fraction(10, 3)
OUT_OF: Final = 100


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Weights of one group."""

    group: str
    is_new: bool
    """Whether the recipe has no such group yet."""
    out_of: int
    temperature: str
    shares: dict[str, int]
    capped: dict[str, int]
    """Members held down by `max_epochs`, with what they would have without it."""
    within_max_epochs: int
    """Parts out of `out_of` that the members can give; where these are fewer, no member is held down."""
    left_out: tuple[str, ...]
    """Members without tokens."""
    epochs: dict[str, dict[str, float]]
    """For each member, epochs gone through at the end of each stage."""


def by_folder(mixture: Mixture, catalogue: Catalogue) -> Mixture:
    """The mixture with its European web, where that is one component of several token folders, as a group of these."""
    european = [component for component in mixture.components if component.kind == "european_web"]
    if mixture.groups or len(european) != 1:
        return mixture
    (whole,) = european
    folders = sorted({folder for pattern in whole.tokens for folder in catalogue.matching(pattern)})
    if len(folders) < 2 or any(component.name in folders for component in mixture.all_components):
        return mixture
    parts = tuple(replace(whole, name=folder, tokens=(folder,)) for folder in folders)
    group = Group(name=whole.name, shares=dict.fromkeys(folders, Fraction(1)), out_of=Fraction(len(folders)))
    others = tuple(component for component in mixture.components if component is not whole)
    return replace(mixture, components=others + parts, groups=(group,), changes=())


def component_text(component: Component) -> str:
    """A component as one line of a recipe."""
    epochs = component.max_epochs
    entry = asdict(component) | {"tokens": list(component.tokens)}
    entry["max_epochs"] = int(epochs) if epochs.denominator == 1 else str(epochs)
    where = [{key: value for key, value in asdict(c).items() if value is not None} for c in component.where]
    entry["where"] = [c | ({"one_of": list(c["one_of"])} if "one_of" in c else {}) for c in where]
    shown = {key: value for key, value in entry.items() if value}
    return (
        "  - "
        + yaml.safe_dump(shown, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6).strip()
    )


def estimates(mixture: Mixture, found: Holdings, temperature: Fraction, out_of: int) -> list[Estimate]:
    """Weights for every group.

    Raises RecipeError where there is none or a weight is rounded to nothing, SupplyError where its members are empty.
    """
    mixture = replace(mixture, changes=())
    made = []
    for name, members in _groups(mixture).items():
        there = {member: found.available[member] for member in members if found.available.get(member)}
        if not there:
            raise SupplyError(f"group {name!r}: none of {', '.join(members)} has tokens; tokenise at least one")
        weighed = _Weighed(mixture=mixture, group=name, members=members, there=there)
        made.append(weighed.estimate(temperature, out_of, found))
    return made


def estimate_text(estimate: Estimate, found: Holdings) -> str:
    """The estimate as a group of a recipe, in YAML, with what it leads to as comments."""
    entries = {name: _entry(name, share) for name, share in estimate.shares.items()}
    width = max(map(len, entries.values()))
    values = [
        f"        {entry:<{width}}  # {found.available[name]:,} tokens; {_epochs_text(estimate, name)}"
        for name, entry in entries.items()
    ]
    return "\n".join(
        [
            f"  - name: {_entry(estimate.group, 0).removesuffix(': 0')}",
            f"    out_of: {estimate.out_of}",
            f"    shares: # by tokens, temperature {estimate.temperature}; epochs are those at the end of each stage",
            "      status: assumed",
            "      value:",
            *values,
            *(f"        # {name}: left out, it has no tokens" for name in estimate.left_out),
            *([_passed_text(estimate)] if estimate.within_max_epochs < estimate.out_of else []),
            *(["  # new: in each stage give it the weight that its members have together"] if estimate.is_new else []),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class _Weighed:
    """A group that is to be weighed: its members that have tokens, and how many of these there are."""

    mixture: Mixture
    group: str
    members: tuple[str, ...]
    there: Mapping[str, int]

    def estimate(self, temperature: Fraction, out_of: int, found: Holdings) -> Estimate:
        most = self._most(out_of)
        within = sum(most.values())
        try:
            free = proportional(self.there, temperature, out_of)
            shares = proportional_within(self.there, temperature, out_of, most) if within >= out_of else free
        except ValueError as error:
            raise RecipeError(f"{self.mixture.name}: group {self.group}: {error}") from error
        made = plan(self._with(shares, out_of), found)
        return Estimate(
            group=self.group,
            is_new=not self._is_named,
            out_of=out_of,
            temperature=str(temperature),
            shares=shares,
            capped={name: n for name, n in free.items() if shares[name] < n},
            within_max_epochs=within,
            left_out=tuple(name for name in self.members if name not in self.there),
            epochs={name: _epochs(made, name) for name in shares},
        )

    def _most(self, out_of: int) -> dict[str, int]:
        """The greatest weight of each member that its `max_epochs` allows, what it is given beside the group kept."""
        schedule = Schedule(self.mixture)
        drawn, beside = Fraction(0), dict.fromkeys(self.there, Fraction(0))
        for stage, span in zip(self.mixture.stages, schedule.spans, strict=True):
            tokens = (span.end - span.first) * span.context
            drawn += self._weight(stage) * tokens
            for name in beside:
                beside[name] += self._beside(stage, name) * tokens
        most = {}
        for name, there in self.there.items():
            # A schedule gives a component up to one sequence more than its share, at each stage.
            slack = sum(span.context for span in schedule.spans)
            left = self.mixture.component(name).max_epochs * there - beside[name] - slack
            most[name] = max(0, min(out_of, int(left * out_of / drawn))) if drawn else out_of
        return most

    def _weight(self, stage: Stage) -> Fraction:
        """Share of a stage that falls to the group."""
        if self._is_named:
            return stage.weights.get(self.group, Fraction(0)) / stage.out_of
        return sum((stage.weights.get(name, Fraction(0)) for name in self.members), Fraction(0)) / stage.out_of

    def _beside(self, stage: Stage, name: str) -> Fraction:
        """Share of a stage that falls to a member without the group."""
        if not self._is_named:
            return Fraction(0)
        whole = self.mixture.shares(stage).get(name, Fraction(0))
        group = next(group for group in self.mixture.groups if group.name == self.group)
        return whole - self._weight(stage) * group.parts().get(name, Fraction(0))

    @property
    def _is_named(self) -> bool:
        return any(group.name == self.group for group in self.mixture.groups)

    def _with(self, shares: Mapping[str, int], out_of: int) -> Mixture:
        """The mixture with these shares."""
        group = Group(
            name=self.group, shares={name: Fraction(n) for name, n in shares.items()}, out_of=Fraction(out_of)
        )
        if self._is_named:
            groups = tuple(group if old.name == self.group else old for old in self.mixture.groups)
            return replace(self.mixture, groups=groups)
        stages = tuple(replace(stage, weights=self._grouped(stage)) for stage in self.mixture.stages)
        return replace(self.mixture, groups=(group,), stages=stages)

    def _grouped(self, stage: Stage) -> dict[str, Fraction]:
        """A stage's weights with the group in place of its members."""
        others = {name: weight for name, weight in stage.weights.items() if name not in self.members}
        weight = self._weight(stage) * stage.out_of
        return others | ({self.group: weight} if weight else {})


def _groups(mixture: Mixture) -> dict[str, tuple[str, ...]]:
    """Members of each group that is to be weighed."""
    if mixture.groups:
        return {group.name: tuple(group.parts()) for group in mixture.groups}
    members = tuple(component.name for component in mixture.components if component.kind == "european_web")
    if not members:
        raise RecipeError(
            f"{mixture.name}: has neither groups nor components of kind european_web; there is nothing to weigh"
        )
    name = "RefinedWeb-Europe"
    while any(component.name == name for component in mixture.components):
        name += "-group"
    return {name: members}


def _epochs(made: Plan, name: str) -> dict[str, float]:
    rows = [row for row in made.rows if row.component == name]
    return {row.stage: row.epochs_so_far for row in rows if row.epochs_so_far is not None}


def _epochs_text(estimate: Estimate, name: str) -> str:
    epochs = ", ".join(f"{stage} {value:.3g}" for stage, value in estimate.epochs[name].items())
    held = f"; held down by max_epochs, {estimate.capped[name]} without it" if name in estimate.capped else ""
    return (epochs or "never drawn") + held


def _passed_text(estimate: Estimate) -> str:
    return (
        f"        # max_epochs is passed: all at theirs, the members give {estimate.within_max_epochs} of the "
        f"{estimate.out_of} parts; raise it, lower the group's weights, or add documents"
    )


def _entry(name: str, share: int) -> str:
    return yaml.safe_dump({name: share}, allow_unicode=True, width=1000).strip()
