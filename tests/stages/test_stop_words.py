import pyarrow as pa
import pytest

from stages.stop_words import SLOTS, StopWordError, StopWords, load_stop_words

ELEVEN = {"en", "cs", "de", "es", "fr", "it", "nl", "pl", "pt", "ro", "sv"}


def test_shipped_lists_cover_the_eleven_languages() -> None:
    stop_words = load_stop_words()
    assert set(stop_words.languages) == ELEVEN
    sizes = dict(zip(stop_words.languages, (stop_words.table.slots != 0).sum(axis=1).tolist(), strict=True))
    assert sizes["en"] == 8
    assert all(20 <= size <= 45 for language, size in sizes.items() if language != "en")


def test_case_and_repeats_do_not_matter() -> None:
    one, other = StopWords.from_lists({"x": ["The", "the", "OF"]}), StopWords.from_lists({"x": ["the", "of"]})
    assert (one.table.slots == other.table.slots).all()
    assert (one.table.slots != 0).sum() == 2


def test_rows_of_a_language_column() -> None:
    stop_words = StopWords.from_lists({"de": ["der"], "en": ["the"]})
    assert stop_words.rows_of(pa.array(["en", None, "xx", "de", "en"])).tolist() == [1, -1, -1, 0, 1]
    assert stop_words.rows_of(pa.array([], pa.string())).tolist() == []


@pytest.mark.parametrize("word", ["l'", "of the", "", "…"])
def test_an_entry_that_is_not_one_word_is_named(word: str) -> None:
    lists = {"fr": ["le", word]}
    if word == "l'":
        assert (StopWords.from_lists(lists).table.slots != 0).sum() == 2
        return
    with pytest.raises(StopWordError, match=f"'fr': '{word}' is"):
        StopWords.from_lists(lists)


@pytest.mark.parametrize("words", [[], [f"w{i}" for i in range(SLOTS)]])
def test_empty_and_overlong_lists_are_refused(words: list[str]) -> None:
    with pytest.raises(StopWordError, match=f"'de': {len(words)} words"):
        StopWords.from_lists({"de": words})
