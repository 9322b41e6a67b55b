import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.c4 import LINE_RULES, PAGE_RULES, C4Rules, clean, sentences

LONG = "The miller told us that the wheel had turned all winter."
FINEWEB = C4Rules(end_marks=None, min_words=3, min_sentences=1)

WORDS = st.sampled_from(
    ["wheel", "The", "[1]", "JavaScript", "{", "use cookies", "end.", "no?", 'she said "so"', "so...", ""]
)
LINES = st.lists(WORDS, max_size=8).map(" ".join)
TEXTS = st.one_of(st.lists(LINES, max_size=8).map("\n".join), st.text())


def cleaned(text, rules=FINEWEB):
    """Text, rule that dropped the page, lines by rule."""
    result = clean(pa.array([text], pa.string()), rules)
    (verdict,) = result.verdicts
    lines = {rule: int(counts[0]) for rule, counts in result.lines.items() if counts[0]}
    return result.text[0].as_py(), verdict and verdict.rule, lines


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("a " + "b" * 1001 + " c", "long_word"),
        ("two words", "few_words"),
        ("Please enable JavaScript to go on.", "javascript"),
        ("Read our Privacy Policy before you go.", "policy"),
        ("This site uses cookies.", "policy"),
    ],
)
def test_a_line_goes_and_is_counted(line, rule):
    assert cleaned(f"{LONG}\n{line}\n\n{LONG}") == (f"{LONG}\n{LONG}", None, {rule: 1})


@pytest.mark.parametrize(
    ("end", "kept"), [(".", True), ("?", True), ('"', True), ("...", False), ("…", False), (":", False), ("'", False)]
)
def test_lines_end_in_a_mark_where_that_is_asked(end, kept):
    line = f"A line of as many as seven words{end}"
    assert cleaned(f"{LONG}\n{line}", C4Rules(min_sentences=1))[2] == ({} if kept else {"no_end_mark": 1})
    assert cleaned(f"{LONG}\n{line}", FINEWEB)[2] == {}


@pytest.mark.parametrize(
    ("line", "rule"),
    [("Lorem Ipsum dolor sit amet.", "lorem_ipsum"), ("function f() { return 1 }", "curly_bracket")],
)
def test_a_page_goes_by_one_line(line, rule):
    assert cleaned(f"{LONG}\n{line}\n{LONG}") == (None, rule, {})


def test_a_line_that_goes_takes_its_bracket_along():
    assert cleaned(f"{LONG}\n{{ x }}\n{LONG}") == (None, "curly_bracket", {})
    assert cleaned(f"{LONG}\n{{ }}\n{LONG}")[1:] == (None, {"few_words": 1})


def test_citations_are_cut_but_count_as_words():
    assert cleaned(f"  {LONG} [12] [edit]\nso it [1]") == (f"{LONG}  \nso it", None, {})
    assert cleaned(f"{LONG} [12]", C4Rules(end_marks=None, citations=False, min_sentences=1))[0] == f"{LONG} [12]"


def test_too_few_sentences():
    rules = C4Rules(min_sentences=3)
    (verdict,) = clean(pa.array([f"{LONG} {LONG}"]), rules).verdicts
    assert verdict == ("too_few_sentences", 2, 3, None)
    assert clean(pa.array([f"{LONG} {LONG}\n{LONG}"]), rules).verdicts == (None,)
    assert cleaned("one two", C4Rules(min_sentences=0))[1] == "emptied"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('"One." He said so... and went (Two.) Three', ['"One."', "He said so... and went (Two.)", "Three"]),
        ("Version 1.2 of file.txt", ["Version 1.2 of file.txt"]),
        ("Náš pes štěká. Životem… áno.", ["Náš pes štěká.", "Životem… áno."]),
        ("日本。 次", ["日本。", "次"]),
        ("", []),
    ],
)
def test_sentences_of_a_line(line, expected):
    assert sentences(line) == expected


@given(st.lists(st.none() | TEXTS, max_size=4), st.sampled_from([FINEWEB, C4Rules(), C4Rules(min_sentences=0)]))
def test_each_text_is_cleaned_alone_and_ends_clean(texts, rules):
    together = clean(pa.array(texts, pa.string()), rules)
    for i, text in enumerate(texts):
        alone = clean(pa.array([text], pa.string()), rules)
        assert together.text[i].as_py() == alone.text[0].as_py()
        assert together.verdicts[i] == alone.verdicts[0]
        assert [together.lines[rule][i] for rule in LINE_RULES] == [alone.lines[rule][0] for rule in LINE_RULES]
        if text is None:
            assert (alone.text[0].as_py(), alone.verdicts[0]) == (None, None)
            continue
        verdict, left = alone.verdicts[0], alone.text[0].as_py()
        assert (verdict is None) == (left is not None)
        assert verdict is None or verdict.rule in PAGE_RULES
        if left is not None:
            assert left.strip() == left != ""
            assert "{" not in left
            assert "javascript" not in left.lower()


@given(st.text())
def test_sentences_leave_out_white_space_alone(line):
    assert "".join("".join(sentences(line)).split()) == "".join(line.split())
