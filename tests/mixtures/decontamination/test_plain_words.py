import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixtures.decontamination.plain_words import split_words


def plain(text: str) -> list[str]:
    """The rule itself."""
    runs = unicodedata.normalize("NFC", text).split()
    words = ["".join(char.lower()[0] for char in run if unicodedata.category(char)[0] in "LMN") for run in runs]
    return [word for word in words if word]


def words_of(texts: list[str]) -> list[list[str]]:
    words = split_words(texts)
    bounds = words.text_at.tolist()
    return [[words.text(word, 1) for word in range(bounds[text], bounds[text + 1])] for text in range(len(texts))]


texts = st.lists(
    st.text(st.sampled_from("aÀb́0 \t\n\u00a0.,-—'’·İßΣσςőÖ½٣\u200b\u00ad\U0001d400中"), max_size=30), max_size=5
)


@given(texts)
@settings(deadline=None, max_examples=200)
@example(["", " ", "a", "a ", " a", "-"])
def test_words_are_those_of_the_plain_rule(texts: list[str]) -> None:
    assert words_of(texts) == [plain(text) for text in texts]


@given(st.lists(st.text(max_size=40), max_size=4))
@settings(deadline=None, max_examples=100)
def test_any_unicode_text(texts: list[str]) -> None:
    assert words_of(texts) == [plain(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop — “NOW”!", "dont stop now"),
        ("Příliš žluťoučký kůň", "příliš žluťoučký kůň"),
        ("ZAŻÓŁĆ GĘŚLĄ JAŹŃ", "zażółć gęślą jaźń"),
        ("Straße, ÄÖÜ; Übergröße", "straße äöü übergröße"),
        ("¿Qué señor? ¡Niño!", "qué señor niño"),
        ("l’été à Noël, cœur", "lété à noël cœur"),
        ("ştiinţă ȘTIINȚĂ", "ştiinţă știință"),
        ("Ångström på ö", "ångström på ö"),
        ("zo'n idee\u00adën 1.234,5", "zon ideeën 12345"),
        ("e\u0301 E\u0301 é", "é é é"),
        ("a\ud800b", "ab"),
    ],
)
def test_the_languages_of_the_corpus(text: str, words: str) -> None:
    assert words_of([text]) == [words.split()]


def test_equal_words_have_equal_hashes_and_places_are_those_of_their_runs() -> None:
    words = split_words(["x", " (Été) — ETE été, "])
    assert words.text_at.tolist() == [0, 1, 4]
    assert words.hashes[1] == words.hashes[3] != words.hashes[2]
    assert list(zip(words.first.tolist(), words.end.tolist(), strict=True)) == [(0, 1), (1, 6), (9, 12), (13, 17)]
