from dataclasses import replace

import pyarrow as pa
import pytest

from stages.decide import TextRules, decide
from stages.language import LanguageRules
from stages.lines import LineRules
from stages.opt_out import OptOutRules
from stages.pii import PiiRules
from stages.rules import RuleSet
from stages.schema import EXTRACTED, SIGNAL_NAMES, check
from stages.stop_words import load_stop_words

BROUGHT = {"rule": "no_text", "value": None, "threshold": None, "detail": "from before"}
SIGNALS = [*SIGNAL_NAMES, "corrected"]
PAGE_SCHEMA = pa.schema([field for field in EXTRACTED if field.name not in SIGNALS])


@pytest.fixture(scope="module")
def rules():
    """Drops texts in other languages than English, then those that repeat lines, then those below five words."""
    return TextRules(
        language=LanguageRules(languages=("en",), min_score=0.65),
        repetition=RuleSet.from_rows([{"rule": "repeats", "signal": "dup_line_share", "max": 0.25}], "test"),
        quality=RuleSet.from_rows([{"rule": "few_words", "signal": "n_words", "min": 5}], "test"),
        stop_words=load_stop_words(),
        opt_out=OptOutRules(drop=("noai",)),
    )


def pages(*rows):
    common = {"id": "a" * 32, "url": "", "warc_path": "w", "warc_offset": 0, "warc_length": 1, "crawl": "c"}
    common |= {"opt_out": [], "language": "en", "language_score": 0.875, "text": "one two three four five six"}
    return pa.RecordBatch.from_pylist([common | row for row in rows], PAGE_SCHEMA)


def test_the_earlier_filter_decides_and_a_brought_verdict_stays(rules):
    batch = pages(
        {},
        {"language": "ja", "text": "a\na\na"},
        {"text": "a\na\na"},
        {"text": "short"},
        {"opt_out": ["noai"], "text": "a\na\na"},
        {"text": "", "language": None, "language_score": None, "verdict": BROUGHT, "verdict_stage": "extract"},
    )
    decided = decide(batch, rules).pages
    check(decided, EXTRACTED)
    steps = [None, "language_filter", "repetition", "quality", "opt_out_filter", "extract"]
    assert decided.column("verdict_stage").to_pylist() == steps
    names = [None, "unwanted_language", "repeats", "few_words", "noai", "no_text"]
    assert [verdict and verdict["rule"] for verdict in decided.column("verdict").to_pylist()] == names
    assert decided.column("verdict")[5].as_py() == BROUGHT
    assert decided.column("corrected").to_pylist() == ["one two three four five six", *[None] * 5]


def test_dropped_pages_are_measured_as_well(rules):
    decided = decide(pages({"language": "ja"}, {"verdict": BROUGHT, "verdict_stage": "extract"}), rules).pages
    assert decided.column("n_words").to_pylist() == [6, 6]


def test_no_pages_are_no_rows(rules):
    assert decide(pages(), rules).pages.num_rows == 0


def test_a_page_is_judged_alike_alone_and_among_others(rules):
    rows = [{"text": text} for text in ("a\na\na", "one two three four five", "", "é" * 40, "one\n\n\ntwo")]
    together = decide(pages(*rows), rules).pages
    alone = pa.Table.from_batches([decide(pages(row), rules).pages for row in rows])
    assert together.to_pylist() == alone.to_pylist()


PROSE = "The miller told us that the wheel had turned through the whole of the winter without a single stop."


@pytest.fixture(scope="module")
def correcting(rules):
    return replace(rules, lines=LineRules(), personal_data=PiiRules())


def test_texts_that_stay_are_corrected_and_masked_and_dropped_ones_are_not(correcting):
    text = "\n".join([PROSE] * 3 + ["Write to miller@example.net about the other wheel.", "3 likes"])
    decision = decide(
        pages({"text": text.replace(PROSE, PROSE + " x", 1)}, {"text": "3 likes", "language": "ja"}), correcting
    )
    kept, dropped = decision.pages.to_pylist()
    assert kept["text"].endswith("miller@example.net about the other wheel.\n3 likes")
    assert kept["corrected"].endswith("Write to email@example.com about the other wheel.")
    assert (dropped["verdict_stage"], dropped["corrected"]) == ("language_filter", None)
    assert decision.lines == {"en": {"counter": 1}}
    assert decision.masked == {"emails": 1, "ips": 0}


def test_a_page_made_of_furniture_is_dropped_after_the_quality_rules(correcting):
    (row,) = decide(
        pages({"text": PROSE + "\n" + "\n".join(["SIGN IN NOW OR NEVER AGAIN"] * 1)}), correcting
    ).pages.to_pylist()
    assert (row["verdict_stage"], row["verdict"]["rule"]) == ("line_corrections", "corrected_words")
    assert row["verdict"]["value"] == pytest.approx(6 / 25)
    assert row["corrected"] is None
    assert row["n_words"] == 25
