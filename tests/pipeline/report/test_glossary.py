import pytest

from pipeline.dedup import NEAR_DUPLICATE, SAME_RECORD, SAME_TEXT, SAME_URL
from pipeline.report.glossary import rule_phrase, stage_phrase
from stages.cascade import FUNNEL
from stages.rules import load_rules


@pytest.mark.parametrize("stage", FUNNEL)
def test_every_step_of_the_funnel_is_explained(stage):
    assert stage_phrase(stage)


def test_every_rule_that_is_data_is_explained():
    rules = [("repetition", rule.name) for rule in load_rules("gopher_repetition").rules]
    rules += [("quality", rule.name) for rule in load_rules("gopher_quality").rules]
    rules += [SAME_RECORD, SAME_URL, SAME_TEXT, NEAR_DUPLICATE]
    assert len(rules) == 13 + 10 + 4
    assert [rule for rule in rules if not rule_phrase(*rule)] == []


def test_an_error_is_explained_by_its_name_and_an_unknown_rule_not_at_all():
    assert rule_phrase("extract", "error:ParserError") == "the step failed on this page (ParserError)"
    assert rule_phrase("nowhere", "unheard_of") == ""
