import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.segment import (
    BULLET,
    BULLETS,
    LETTER,
    N_CODE_POINTS,
    SPACE,
    WORD,
    char_tables,
    decode,
    utf8_of,
    word_hashes,
)

TEXTS = st.lists(st.none() | st.text(), max_size=6)


def lowered(text: str) -> str:
    """The project's lower-casing: code point by code point, `İ` to `i`."""
    return "".join("i" if char == "İ" else char.lower() for char in text)


def test_character_classes_are_those_of_python() -> None:
    classes = char_tables().classes
    every = [chr(code) for code in range(N_CODE_POINTS)]
    assert [bool(kind & SPACE) for kind in classes] == [char.isspace() for char in every]
    assert [bool(kind & LETTER) for kind in classes] == [char.isalpha() for char in every]
    word_characters = {match.start() for match in re.finditer(r"\w", "".join(every))}
    assert set(np.flatnonzero(classes & WORD)) == word_characters
    assert {chr(code) for code in np.flatnonzero(classes & BULLET)} == set(BULLETS)


def test_lower_case_is_that_of_python_but_for_one_letter() -> None:
    lower = char_tables().lower
    differing = [code for code in range(N_CODE_POINTS) if chr(lower[code]) != chr(code).lower()]
    assert differing == [ord("İ")]
    assert chr(lower[ord("İ")]) == "i"


def test_letters_stay_as_written_without_folding() -> None:
    assert (char_tables(fold_case=False).lower == np.arange(N_CODE_POINTS)).all()


@settings(deadline=None)
@given(st.text())
def test_decoding_gives_pythons_code_points(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    out = np.empty(data.size, np.uint32)
    n = decode(data, 0, data.size, out)
    assert out[:n].tolist() == [ord(char) for char in text]


@settings(deadline=None)
@given(st.binary())
def test_decoding_of_any_bytes_stays_inside_the_code_space(data: bytes) -> None:
    out = np.empty(len(data), np.uint32)
    n = decode(np.frombuffer(data, np.uint8), 0, len(data), out)
    assert n <= len(data)
    assert (out[:n] < N_CODE_POINTS).all()


@settings(deadline=None)
@given(TEXTS, st.booleans(), st.booleans())
def test_words_are_those_of_the_regular_expression(texts: list[str | None], fold_case: bool, large: bool) -> None:
    hashes, offsets = word_hashes(pa.array(texts, pa.large_string() if large else pa.string()), fold_case=fold_case)
    expected = [re.findall(r"\w+", lowered(text or "") if fold_case else text or "") for text in texts]
    assert np.diff(offsets).tolist() == [len(words) for words in expected]
    flat = [word for words in expected for word in words]
    hash_of = dict(zip(flat, hashes.tolist(), strict=True))
    assert [hash_of[word] for word in flat] == hashes.tolist()  # equal words, equal hashes
    assert len(set(hash_of.values())) == len(hash_of)  # different words, different hashes
    assert 0 not in hash_of.values()


@settings(deadline=None)
@given(TEXTS.filter(len), st.data())
def test_a_slice_is_read_like_a_copy(texts: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(texts)))
    view, copy = pa.array(texts, pa.string())[start:], pa.array(texts[start:], pa.string())
    for seen, expected in zip(word_hashes(view, fold_case=True), word_hashes(copy, fold_case=True), strict=True):
        assert seen.tolist() == expected.tolist()


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="not int64"):
        utf8_of(pa.array([1, 2]))
