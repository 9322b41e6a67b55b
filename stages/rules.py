"""Quality rules as data: a rule holds one signal against one threshold, which a language may override.

A rule set is a list of rows, in YAML (`stages/data/rules/`) or in a recipe:

    - {rule: long_words, signal: mean_word_length, max: 10, languages: {de: 12}, source: "Gopher A1.1"}

`min` fires where the signal is below it, `max` where it is above; equality passes. `languages` gives a language its
own threshold, or null where the rule is not to apply to it. A null signal never fires. Rules are tried in order and
the first that fires names the page's verdict. Thresholds are those of `source`, except where `assumed` names the
language (or `default`, for the rule's own): these were chosen here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from stages.schema import SIGNAL_NAMES, VERDICT

Comparison = Literal["min", "max"]
BUILTIN = ("gopher_repetition", "gopher_quality", "fineweb", "fineweb2_repetition", "fineweb2_quality")
"""Rule sets that ship with the package, by the name `load_rules` takes."""

_COMPARISONS: tuple[Comparison, ...] = ("min", "max")
_ROW_KEYS = {"rule", "signal", *_COMPARISONS, "languages", "source", "assumed"}
_OVERRIDE_KEYS = {*_COMPARISONS, "languages"}


class RuleError(ValueError):
    """A rule that cannot be read; the message names the rule set, the rule and what to write instead."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One threshold on one signal."""

    name: str
    signal: str
    comparison: Comparison
    threshold: float
    overrides: Mapping[str, float | None] = field(default_factory=dict)
    source: str = ""
    assumed: tuple[str, ...] = ()

    def thresholds(self, languages: pa.Array[Any]) -> NDArray[np.float64]:
        """Threshold for each row of a language column, NaN where the rule does not apply."""
        encoded = languages.dictionary_encode()
        by_code = [self.overrides.get(str(language), self.threshold) for language in encoded.dictionary.to_pylist()]
        table = np.array([*by_code, self.threshold], np.float64)  # None becomes NaN; the last entry is for null
        values: NDArray[np.float64] = table[encoded.indices.fill_null(len(by_code)).to_numpy(zero_copy_only=False)]
        return values

    def fires(self, values: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where the rule drops a page; NaN on either side never does."""
        return values < thresholds if self.comparison == "min" else values > thresholds


@dataclass(frozen=True, kw_only=True)
class RuleSet:
    """Rules in the order in which they are tried."""

    name: str
    rules: tuple[Rule, ...]

    @classmethod
    def from_rows(cls, rows: Any, name: str) -> RuleSet:
        """Read rules from parsed YAML or recipe data.

        Raises RuleError, naming `name` and the rule, for an unknown key, an unknown signal, a repeated rule name, a
        threshold that is no number, and for a rule with neither or both of `min` and `max`.
        """
        if not isinstance(rows, list):
            raise RuleError(f"{name}: write a list of rules, not {type(rows).__name__}")
        rules = tuple(_rule(row, f"{name}, rule {i + 1}") for i, row in enumerate(rows))
        names = [rule.name for rule in rules]
        for rule_name in names:
            if names.count(rule_name) > 1:
                raise RuleError(f"{name}: two rules are called {rule_name!r}; give each its own name")
        return cls(name=name, rules=rules)

    def with_overrides(self, overrides: Mapping[str, Any]) -> RuleSet:
        """Change thresholds by rule name: `{"long_words": {"max": 12, "languages": {"de": 13}}, "top_2gram": None}`.

        Languages are added to those of the rule; None takes the rule out. Raises RuleError for an unknown rule or key.
        """
        known = [rule.name for rule in self.rules]
        for rule_name in overrides:
            if rule_name not in known:
                raise RuleError(f"{self.name} has no rule {rule_name!r}; its rules are {', '.join(known)}")
        changed = [_override(rule, overrides.get(rule.name, {}), self.name) for rule in self.rules]
        return replace(self, rules=tuple(rule for rule in changed if rule is not None))


@cache
def load_rules(name: str) -> RuleSet:
    """Read one of the rule sets in `BUILTIN`; raises RuleError for another name."""
    if name not in BUILTIN:
        raise RuleError(f"no rule set {name!r}; choose one of {', '.join(BUILTIN)}")
    text = resources.files("stages").joinpath(f"data/rules/{name}.yaml").read_text(encoding="utf-8")
    return RuleSet.from_rows(yaml.safe_load(text), name)


def apply_rules(batch: pa.RecordBatch, rules: RuleSet, column: str) -> pa.RecordBatch:
    """Append `column`, of type `VERDICT`: the first rule that fires with value and threshold, null where none does.

    `batch` has the columns `language` and every signal that the rules name.
    """
    n = batch.num_rows
    decided = np.full(n, -1, np.int64)
    value, threshold = np.full(n, np.nan), np.full(n, np.nan)
    for i, rule in enumerate(rules.rules):
        values = batch.column(rule.signal).cast(pa.float64()).to_numpy(zero_copy_only=False)
        thresholds = rule.thresholds(batch.column("language"))
        newly = rule.fires(values, thresholds) & (decided < 0)
        decided[newly], value[newly], threshold[newly] = i, values[newly], thresholds[newly]
    names = pa.array([rule.name for rule in rules.rules], pa.string())
    kept = decided < 0
    verdict = pa.StructArray.from_arrays(
        [
            names.take(pa.array(decided, pa.int64(), mask=kept)),
            pa.array(value, mask=kept),
            pa.array(threshold, mask=kept),
            pa.nulls(n, pa.string()),
        ],
        fields=list(VERDICT),
        mask=pa.array(kept),
    )
    return batch.append_column(pa.field(column, VERDICT), verdict)


def _rule(row: Any, where: str) -> Rule:
    if not isinstance(row, Mapping):
        raise RuleError(f"{where}: write a mapping of {', '.join(sorted(_ROW_KEYS))}, not {type(row).__name__}")
    _refuse_unknown(row, _ROW_KEYS, where)
    for key in ("rule", "signal"):
        if not isinstance(row.get(key), str):
            raise RuleError(f"{where}: {key!r} is missing or is not text")
    where = f"{where} ({row['rule']})"
    if row["signal"] not in SIGNAL_NAMES:
        raise RuleError(f"{where}: unknown signal {row['signal']!r}; the signals are {', '.join(SIGNAL_NAMES)}")
    given = [comparison for comparison in _COMPARISONS if comparison in row]
    if len(given) != 1:
        raise RuleError(f"{where}: give exactly one of 'min' and 'max'")
    return Rule(
        name=row["rule"],
        signal=row["signal"],
        comparison=given[0],
        threshold=_number(row[given[0]], f"{where}, {given[0]}"),
        overrides=_languages(row.get("languages", {}), where),
        source=str(row.get("source", "")),
        assumed=_assumed(row.get("assumed", []), where),
    )


def _override(rule: Rule, change: Any, set_name: str) -> Rule | None:
    where = f"override of {rule.name} in {set_name}"
    if change is None:
        return None
    if not isinstance(change, Mapping):
        raise RuleError(f"{where}: write a mapping, or null to take the rule out, not {type(change).__name__}")
    _refuse_unknown(change, _OVERRIDE_KEYS - {"min", "max"} | {rule.comparison}, where)
    threshold = rule.threshold
    if rule.comparison in change:
        threshold = _number(change[rule.comparison], f"{where}, {rule.comparison}")
    languages = dict(rule.overrides) | _languages(change.get("languages", {}), where)
    return replace(rule, threshold=threshold, overrides=languages)


def _languages(value: Any, where: str) -> dict[str, float | None]:
    if not isinstance(value, Mapping):
        raise RuleError(f"{where}, languages: write a mapping of language to threshold, not {type(value).__name__}")
    for language in value:
        if not isinstance(language, str):
            raise RuleError(f"{where}, languages: {language!r} is not text; put quotes around it ('no' reads as false)")
    return {
        language: None if threshold is None else _number(threshold, f"{where}, languages, {language}")
        for language, threshold in value.items()
    }


def _assumed(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise RuleError(f"{where}, assumed: write a list of languages, or of 'default'")
    return tuple(value)


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise RuleError(f"{where}: {value!r} is not a number")
    return float(value)


def _refuse_unknown(row: Mapping[Any, Any], known: set[str], where: str) -> None:
    unknown = [key for key in row if key not in known]
    if unknown:
        raise RuleError(f"{where}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(known))}")
