from hypothesis import given
from hypothesis import strategies as st

from stages.extraction.literals import Literals

PIECES = st.text(alphabet="abné", max_size=6)


@given(st.lists(st.text(alphabet="ab", max_size=4), unique=True, min_size=1), st.lists(PIECES, min_size=1, max_size=8))
def test_finds_what_occurs_and_each_once(literals, texts):
    found = Literals(literals).occurring(texts)
    assert sorted(found) == sorted(
        (i, j) for i, text in enumerate(texts) for j, part in enumerate(literals) if part in text
    )


def test_does_not_find_across_texts():
    assert Literals(["ab"]).occurring(["a", "b", "ab"]) == [(2, 0)]


def test_says_whether_it_finds_everything():
    assert Literals(["a", ""]).finds_empty
    assert not Literals(["a"]).finds_empty
