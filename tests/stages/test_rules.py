import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.language import ELEVEN
from stages.rules import BUILTIN, RuleError, RuleSet, apply_rules, load_rules
from stages.schema import VERDICT
from stages.signals import add_signals
from stages.stop_words import load_stop_words

GOPHER = ("gopher_repetition", "gopher_quality")
ROWS: list[dict[str, Any]] = [
    {"rule": "few", "signal": "n_words", "min": 50},
    {"rule": "long", "signal": "mean_word_length", "max": 10, "languages": {"de": 12, "fr": None}, "source": "here"},
]


def batch(n_words: list[int | None], mean: list[float | None], language: list[str | None]) -> pa.RecordBatch:
    columns = {
        "n_words": pa.array(n_words, pa.int64()),
        "mean_word_length": pa.array(mean, pa.float64()),
        "language": pa.array(language, pa.string()),
    }
    return pa.record_batch(columns)


def verdicts(rows: pa.RecordBatch, rules: RuleSet) -> list[Any]:
    return apply_rules(rows, rules, "quality").column("quality").to_pylist()


def verdict(rule: str, value: float, threshold: float) -> dict[str, Any]:
    return {"rule": rule, "value": value, "threshold": threshold, "detail": None}


def test_first_rule_that_fires_names_the_verdict() -> None:
    rows = batch([49, 50, 10, 60], [11.0, 11.0, 4.0, 10.0], ["en"] * 4)
    expected = [verdict("few", 49, 50), verdict("long", 11, 10), verdict("few", 10, 50), None]
    assert verdicts(rows, RuleSet.from_rows(ROWS, "test")) == expected


def test_a_language_has_its_own_threshold() -> None:
    rows = batch([60] * 5, [11.0, 13.0, 13.0, 13.0, 9.0], ["de", "de", "fr", None, "de"])
    expected = [None, verdict("long", 13, 12), None, verdict("long", 13, 10), None]
    assert verdicts(rows, RuleSet.from_rows(ROWS, "test")) == expected


def test_null_signals_never_fire() -> None:
    assert verdicts(batch([None, None], [None, 11.0], ["en", "en"]), RuleSet.from_rows(ROWS, "test")) == [
        None,
        verdict("long", 11, 10),
    ]


def test_verdict_column_has_the_declared_type_and_the_rows_stay() -> None:
    rows = batch([], [], [])
    result = apply_rules(rows, RuleSet.from_rows(ROWS, "test"), "quality")
    assert result.schema.field("quality").type == VERDICT
    assert result.drop_columns(["quality"]).equals(rows)


NUMBERS = st.none() | st.integers(0, 12)


@settings(deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from(["de", "fr", "en", None])), max_size=8),
    st.lists(
        st.fixed_dictionaries(
            {
                "signal": st.sampled_from(["n_words", "mean_word_length"]),
                "comparison": st.sampled_from(["min", "max"]),
                "threshold": st.integers(0, 12),
                "languages": st.dictionaries(st.sampled_from(["de", "fr"]), st.none() | st.integers(0, 12)),
            }
        ),
        max_size=4,
    ),
)
def test_apply_equals_a_loop_over_rows(rows: list[tuple[Any, Any, Any]], specs: list[dict[str, Any]]) -> None:
    data = [
        {"rule": f"r{i}", "signal": s["signal"], s["comparison"]: s["threshold"], "languages": s["languages"]}
        for i, s in enumerate(specs)
    ]
    expected = []
    for n_words, mean, language in rows:
        found = None
        for i, spec in enumerate(specs):
            value = {"n_words": n_words, "mean_word_length": mean}[spec["signal"]]
            limit = spec["languages"].get(language, spec["threshold"])
            if found or value is None or limit is None:
                continue
            if value < limit if spec["comparison"] == "min" else value > limit:
                found = verdict(f"r{i}", value, limit)
        expected.append(found)
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
    assert verdicts(batch(*columns), RuleSet.from_rows(data, "test")) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"rule": "x", "signal": "n_words", "min": 1, "maks": 2}, "t, rule 1: unknown key 'maks'"),
        ({"rule": "x", "signal": "n_wrods", "min": 1}, "t, rule 1 (x): unknown signal 'n_wrods'"),
        ({"rule": "x", "signal": "n_words"}, "exactly one of 'min' and 'max'"),
        ({"rule": "x", "signal": "n_words", "min": 1, "max": 2}, "exactly one of 'min' and 'max'"),
        ({"rule": "x", "signal": "n_words", "min": "1"}, "min: '1' is not a number"),
        ({"rule": "x", "signal": "n_words", "min": True}, "min: True is not a number"),
        ({"rule": "x", "signal": "n_words", "min": float("nan")}, "nan is not a number"),
        ({"rule": "x", "signal": "n_words", "min": 1, "languages": {"de": "y"}}, "languages, de: 'y' is not a number"),
        ({"rule": "x", "signal": "n_words", "min": 1, "languages": {False: 2}}, "put quotes around it"),
        ({"rule": "x", "signal": "n_words", "min": 1, "languages": ["de"]}, "languages: write a mapping"),
        ({"rule": "x", "signal": "n_words", "min": 1, "assumed": "de"}, "assumed: write a list of languages"),
        ({"signal": "n_words", "min": 1}, "'rule' is missing"),
        ("n_words > 1", "write a mapping"),
    ],
)
def test_a_bad_rule_is_refused_by_name(row: Any, message: str) -> None:
    with pytest.raises(RuleError) as error:
        RuleSet.from_rows([row], "t")
    assert message in str(error.value)


def test_a_rule_set_is_a_list_of_differently_named_rules() -> None:
    with pytest.raises(RuleError, match="t: write a list of rules, not dict"):
        RuleSet.from_rows({"few": 1}, "t")
    with pytest.raises(RuleError, match="two rules are called 'few'"):
        RuleSet.from_rows([ROWS[0], ROWS[0]], "t")
    with pytest.raises(RuleError, match="choose one of gopher_repetition, gopher_quality"):
        load_rules("gofer")


def test_overrides_change_add_and_remove() -> None:
    rules = RuleSet.from_rows(ROWS, "t").with_overrides({"long": {"max": 9, "languages": {"pl": 11}}, "few": None})
    (rule,) = rules.rules
    assert (rule.name, rule.threshold, rule.overrides) == ("long", 9, {"de": 12, "fr": None, "pl": 11})
    assert RuleSet.from_rows(ROWS, "t").with_overrides({}) == RuleSet.from_rows(ROWS, "t")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"fwe": {"min": 1}}, "t has no rule 'fwe'; its rules are few, long"),
        ({"few": {"max": 1}}, "unknown key 'max'; the keys are languages, min"),
        ({"few": {"min": None}}, "min: None is not a number"),
        ({"few": 40}, "write a mapping, or null"),
    ],
)
def test_a_bad_override_is_refused_by_name(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError) as error:
        RuleSet.from_rows(ROWS, "t").with_overrides(overrides)
    assert message in str(error.value)


def test_shipped_thresholds_are_those_of_the_paper() -> None:
    thresholds = {
        name: {(r.signal, r.comparison): r.threshold for r in load_rules(name).rules} for name in (*GOPHER, "fineweb")
    }
    assert thresholds == {
        "gopher_quality": {
            ("n_words", "min"): 50,
            ("n_words", "max"): 100_000,
            ("mean_word_length", "min"): 3,
            ("mean_word_length", "max"): 10,
            ("hash_word_ratio", "max"): 0.1,
            ("ellipsis_word_ratio", "max"): 0.1,
            ("bullet_line_share", "max"): 0.9,
            ("ellipsis_line_share", "max"): 0.3,
            ("alpha_word_share", "min"): 0.8,
            ("n_stop_words", "min"): 2,
        },
        "gopher_repetition": {
            ("dup_line_share", "max"): 0.30,
            ("dup_par_share", "max"): 0.30,
            ("dup_line_char_share", "max"): 0.20,
            ("dup_par_char_share", "max"): 0.20,
            **{(f"top_{n}gram_char_share", "max"): share for n, share in ((2, 0.20), (3, 0.18), (4, 0.16))},
            **{(f"dup_{n}gram_char_share", "max"): (20 - n) / 100 for n in range(5, 11)},
        },
        "fineweb": {
            ("punct_line_share", "min"): 0.12,
            ("short_line_share", "max"): 0.67,
            ("dup_line_text_share", "max"): 0.1,
            ("newline_word_ratio", "max"): 0.3,
        },
    }


@pytest.mark.parametrize("name", ["fineweb2_repetition", "fineweb2_quality"])
def test_defaults_of_fineweb2_are_those_of_gopher_and_fineweb_and_each_language_has_its_own(name: str) -> None:
    known = {(r.signal, r.comparison): r.threshold for base in (*GOPHER, "fineweb") for r in load_rules(base).rules}
    for rule in load_rules(name).rules:
        assert rule.threshold == known[rule.signal, rule.comparison]
        assert set(rule.overrides) in (set(), set(ELEVEN) - {"en"})
        assert rule.assumed == (("default",) if rule.overrides else ())


def test_thresholds_that_were_chosen_here_are_marked() -> None:
    """Every language's own threshold is published or marked as assumed, and nothing else is marked."""
    rules = [rule for name in BUILTIN for rule in load_rules(name).rules]
    assert {name for rule in rules for name in rule.assumed} <= {"default", *ELEVEN}
    assert {rule.name: rule.assumed for rule in rules if rule.assumed and rule.assumed != ("default",)} == {
        "ellipsis_lines": ("es", "fr", "it", "pl", "ro")
    }
    gopher = [rule for name in GOPHER for rule in load_rules(name).rules]
    assert all(set(rule.overrides) == set(rule.assumed) for rule in gopher)


@pytest.fixture(scope="module")
def clean_text(shared_data: Path) -> pa.RecordBatch:
    """Chapters of novels in eleven languages, in pieces of 300 words, with their signals."""
    texts, languages = [], []
    for path in sorted((shared_data / "text").glob("*.jsonl")):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            words = list(re.finditer(r"\S+", row["text"]))
            for first, last in zip(words[::300], words[299::300], strict=False):
                texts.append(row["text"][first.start() : last.end()])
                languages.append(row["lang"])
    return add_signals(pa.record_batch({"text": texts, "language": languages}), load_stop_words())


def test_clean_text_passes_in_every_language(clean_text: pa.RecordBatch) -> None:
    judged = clean_text
    for name in GOPHER:
        judged = apply_rules(judged, load_rules(name), name)
    by_language: dict[str, list[bool]] = {}
    for language, *found in zip(*(judged.column(name).to_pylist() for name in ("language", *GOPHER)), strict=True):
        by_language.setdefault(language, []).append(any(found))
    assert len(by_language) == 11
    for language, dropped in by_language.items():
        assert sum(dropped) / len(dropped) <= 0.02, language


def test_stop_words_of_clean_text(clean_text: pa.RecordBatch) -> None:
    """At least two in 98 % of the pieces of every language, each judged by its own list."""
    languages = clean_text.column("language").to_pylist()
    counts = clean_text.column("n_stop_words").to_pylist()
    for language in set(languages):
        own = [count >= 2 for count, other in zip(counts, languages, strict=True) if other == language]
        assert sum(own) / len(own) >= 0.98, language
