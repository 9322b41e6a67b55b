import re
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.windows import WindowHashes, text_window_hashes, window_hashes, words_from, words_of

TEXTS = st.lists(st.text(alphabet="aB é中,.-_\n\u00a0\u3000ि😀0", max_size=30) | st.text(max_size=30), max_size=5)


@settings(deadline=None)
@given(TEXTS, st.booleans())
def test_words_are_runs_of_word_characters_as_written(texts, large):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    column = pa.array(texts, pa.large_string() if large else pa.string())
    words = words_of(column)
    data = words.text.data.tobytes()
    for i, text in enumerate(texts):
        mine = slice(words.offsets[i], words.offsets[i + 1])
        bounds = zip(words.starts[mine].tolist(), words.ends[mine].tolist(), strict=True)
        assert [data[start:end].decode() for start, end in bounds] == re.findall(r"\w+", text)


def test_a_hash_is_that_of_a_word_as_written_and_of_the_marks_before_it():
    words = words_of(pa.array(["a, b a b", "a,b A ,\nb"]))
    a1, b1, a2, b2, a3, b3, upper, b4 = words.alone.tolist()
    assert a1 == a2 == a3 and b1 == b2 == b3 == b4
    assert len({a1, b1, upper}) == 3
    joined = words.joined.tolist()
    assert joined[1] == joined[5] == joined[7]
    assert joined[3] == b1 != joined[1]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 5))
def test_windows_have_equal_hashes_where_they_are_equal(texts, k):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    column = pa.array(texts, pa.string())
    windows = window_hashes(words_of(column), k)
    hash_of: dict[tuple[str, ...], int] = {}
    for i, text in enumerate(texts):
        matches = list(re.finditer(r"\w+", text))
        found = windows.hashes[windows.offsets[i] : windows.offsets[i + 1]].tolist()
        assert len(found) == max(len(matches) - k + 1, 0)
        for p, value in enumerate(found):
            window = matches[p : p + k]
            gaps = [text[a.end() : b.start()] for a, b in pairwise(window)]
            key = (window[0].group(), *["".join(gap.split()) + " " for gap in gaps], *[m.group() for m in window[1:]])
            assert hash_of.setdefault(key, value) == value
    assert len(set(hash_of.values())) == len(hash_of)
    assert same(text_window_hashes(column, k), windows)


def same(a: WindowHashes, b: WindowHashes) -> bool:
    return np.array_equal(a.hashes, b.hashes) and np.array_equal(a.offsets, b.offsets)


def test_slices_and_nulls():
    column = pa.array(["first words here", None, "a b c", ""])
    assert same(text_window_hashes(column[1:], 2), window_hashes(words_of(pa.array(["", "a b c", ""])), 2))
    assert words_of(column[1:]).offsets.tolist() == [0, 0, 3, 3]


def test_no_texts():
    assert words_of(pa.array([], pa.string())).offsets.tolist() == [0]
    assert same(text_window_hashes(pa.array([], pa.string()), 3), WindowHashes(np.empty(0, np.uint64), np.zeros(1)))


def test_a_column_of_another_type_is_refused():
    with pytest.raises(TypeError, match="a string array is needed"):
        words_of(pa.array([1, 2]))


def test_tokens_take_the_place_of_words():
    text = pa.array(["xx", "unbelievable", "un"])
    keys, starts, ends = np.array([7, 8, 9, 7]), np.array([0, 2, 9, 0]), np.array([2, 9, 12, 2])
    words = words_from(text, keys, starts, ends, np.array([0, 0, 3, 4]))
    assert words.starts.tolist() == [2, 4, 11, 14]
    assert words.alone[0] == words.alone[3] == words.joined[0] != words.alone[1]
    assert window_hashes(words, 2).offsets.tolist() == [0, 0, 2, 2]
