import pytest

from pipeline import recipe
from pipeline.dedup.decisions import RULES
from pipeline.report.glossary import rule_phrase, stage_phrase
from stages import c4
from stages.cascade import FUNNEL
from stages.rules import BUILTIN
from stages.substrings import EMPTIED, REPEATED


@pytest.mark.parametrize("stage", FUNNEL)
def test_every_step_of_the_funnel_is_explained(stage):
    assert stage_phrase(stage)


def test_every_rule_that_is_data_is_explained():
    used = [(step, rules) for name in recipe.shipped() for step, rules in recipe.load(name).rule_sets.items() if rules]
    rules = [(step, rule.name) for step, rule_set in used for rule in rule_set.rules]
    rules += [("c4", rule) for rule in c4.PAGE_RULES]
    rules += [*RULES.items(), ("substrings", EMPTIED), ("substrings", REPEATED)]
    assert {rule_set.name for _, rule_set in used} == set(BUILTIN)
    assert [rule for rule in rules if not rule_phrase(*rule)] == []


def test_an_error_is_explained_by_its_name_and_an_unknown_rule_not_at_all():
    assert rule_phrase("extract", "error:ParserError") == "the step failed on this page (ParserError)"
    assert rule_phrase("nowhere", "unheard_of") == ""
