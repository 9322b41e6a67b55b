import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.schema import SIGNAL_NAMES, SIGNALS
from stages.segment import BULLETS, sentence_marks
from stages.signals import add_signals, compute
from stages.stop_words import StopWords, load_stop_words

STOP = {"en": ["the", "of", "i", "a"], "fr": ["l", "é"]}
STOP_WORDS = StopWords.from_lists(STOP)

_PIECES = [
    " ",
    "\n",
    "\n\n",
    "\t",
    "\x1c",
    "\u2003",
    "...",
    ".",
    "?",
    "longer than half of 30",
    "…",
    "#",
    "- ",
    "•",
    "*",
    "a",
    "b",
    "The of",
    "L'é",
    "İ",
    "ß_1",
    "日",
]
REPETITIVE = st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)
TEXTS = st.one_of(REPETITIVE, st.text(), st.text("ab \n.", max_size=80))


# The signals in plain Python, as the docstring of `stages.signals` defines them.


def visible(pieces: Sequence[str]) -> list[str]:
    return [piece for piece in pieces if piece.strip()]


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def repeated(pieces: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [piece for piece in pieces if piece in seen or seen.add(piece)]  # type: ignore[func-returns-value]


def top_ngram_chars(words: Sequence[str], n: int) -> int:
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0
    gram, count = Counter(grams).most_common(1)[0]
    return len(gram) * count


def duplicate_ngram_chars(words: Sequence[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    chars = i = 0
    while i + n <= len(words):
        gram = tuple(words[i : i + n])
        if gram in seen:
            chars += len("".join(gram))
            i += n
        else:
            seen.add(gram)
            i += 1
    return chars


def lowered(text: str) -> str:
    return "".join("i" if char == "İ" else char.lower() for char in text)


def definition(text: str, stop_words: Sequence[str] | None) -> dict[str, float | None]:
    words = text.split()
    lines = visible(text.split("\n"))
    paragraphs = visible(re.split(r"\n{2,}", text.strip()))
    found = set(re.findall(r"\w+", lowered(text)))
    return {
        "n_chars": len(text),
        "n_words": len(words),
        "n_lines": len(lines),
        "mean_word_length": share(sum(map(len, words)), len(words)),
        "hash_word_ratio": share(text.count("#"), len(words)),
        "ellipsis_word_ratio": share(text.count("...") + text.count("…"), len(words)),
        "bullet_line_share": share(sum(line.lstrip()[0] in BULLETS for line in lines), len(lines)),
        "ellipsis_line_share": share(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "punct_line_share": share(sum(line.rstrip()[-1] in sentence_marks() for line in lines), len(lines)),
        "short_line_share": share(sum(len(line) <= 30 for line in lines), len(lines)),
        "newline_word_ratio": share(text.count("\n"), len(words)),
        "alpha_word_share": share(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "n_stop_words": None if stop_words is None else len(found & set(stop_words)),
        "dup_line_share": share(len(repeated(lines)), len(lines)),
        "dup_line_char_share": share(len("".join(repeated(lines))), len(text)),
        "dup_line_text_share": share(len("".join(repeated(lines))), len(text.replace("\n", ""))),
        "dup_par_share": share(len(repeated(paragraphs)), len(paragraphs)),
        "dup_par_char_share": share(len("".join(repeated(paragraphs))), len(text)),
        **{f"top_{n}gram_char_share": share(top_ngram_chars(words, n), len(text)) for n in (2, 3, 4)},
        **{f"dup_{n}gram_char_share": share(duplicate_ngram_chars(words, n), len(text)) for n in range(5, 11)},
    }


def measured(text: str | None, language: str | None = "en") -> dict[str, float | None]:
    columns = compute(pa.array([text], pa.string()), pa.array([language], pa.string()), STOP_WORDS)
    return {name: values[0].as_py() for name, values in columns.items()}


def expected(text: str, language: str | None = "en") -> dict[str, object]:
    values = definition(text, STOP.get(language or ""))
    return {
        name: value if isinstance(value, int | None) else pytest.approx(value, abs=1e-12)
        for name, value in values.items()
    }


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.sampled_from(["en", "fr", "xx", None]))
def test_kernel_equals_the_definition(text: str, language: str | None) -> None:
    assert measured(text, language) == expected(text, language)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | TEXTS, st.sampled_from(["en", "fr", None])), max_size=5))
def test_a_batch_is_its_rows(rows: list[tuple[str | None, str | None]]) -> None:
    texts, languages = [text for text, _ in rows], [language for _, language in rows]
    batch = compute(pa.array(texts, pa.large_string()), pa.array(languages, pa.string()), STOP_WORDS)
    for i, (text, language) in enumerate(rows):
        assert {name: values[i].as_py() for name, values in batch.items()} == measured(text, language)


def test_empty_text_is_zero_and_null_text_is_null() -> None:
    assert set(measured("").values()) == {0}
    assert set(measured(None).values()) == {None}
    assert measured("a of", "xx")["n_stop_words"] is None


@pytest.mark.parametrize(
    ("text", "signal", "value"),
    [
        ("one two\nthree", "n_words", 3),
        ("one two\n \nthree", "n_lines", 2),
        ("ab abcd", "mean_word_length", 3.0),
        ("# #tag word word", "hash_word_ratio", 0.5),
        ("so.... on… and......", "ellipsis_word_ratio", 4 / 3),
        ("• a\n  - b\n\nc - d\n—e", "bullet_line_share", 0.5),
        ("a... \nb…\nc.. .\nd", "ellipsis_line_share", 0.5),
        ("Yes!\nno \nso... \nwell…", "punct_line_share", 0.5),
        ("a" * 30 + "\n" + "b" * 31, "short_line_share", 0.5),
        ("a b\n\nc\n", "newline_word_ratio", 1.0),
        ("a1 22 -- é", "alpha_word_share", 0.5),
        ("The the, (OF) often", "n_stop_words", 2),
        ("x\ny\nx\nx", "dup_line_share", 0.5),
        ("abc\nd\nabc", "dup_line_char_share", 3 / 9),
        ("abc\nd\nabc", "dup_line_text_share", 3 / 7),
        ("a\nb\n\nc\n\n\na\nb", "dup_par_share", 1 / 3),
        ("a\nb\n\nc\n\n\na\nb", "dup_par_char_share", 3 / 12),
        ("a b x a b y", "top_2gram_char_share", 2 * 3 / 11),
        ("a bb ccc", "top_2gram_char_share", 4 / 8),  # all once: the first counts
        ("a b c d e x a b c d e", "dup_5gram_char_share", 5 / 21),
        ("a a a a a a a a a a a", "dup_5gram_char_share", 10 / 21),
    ],
)
def test_worked_example(text: str, signal: str, value: float) -> None:
    assert measured(text)[signal] == pytest.approx(value, abs=1e-12)


def test_signals_are_appended_as_declared() -> None:
    batch = pa.record_batch({"text": ["The end of it", None], "language": ["en", "en"]})
    result = add_signals(batch, STOP_WORDS)
    assert [result.schema.field(name) for name in SIGNAL_NAMES] == SIGNALS
    assert result.schema.names == ["text", "language", *SIGNAL_NAMES]
    assert result.column("n_stop_words").to_pylist() == [2, None]


def test_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts but 1 languages"):
        compute(pa.array(["a", "b"]), pa.array(["en"]), STOP_WORDS)


@pytest.fixture(scope="module")
def passages(shared_data: Path) -> list[tuple[str, str]]:
    """Beginnings of real chapters, one in two with a passage repeated: (text, language)."""
    rows = []
    for path in sorted((shared_data / "text").glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for i, row in enumerate(json.loads(line) for line in lines if line.strip()):
                text = row["text"][:2500]
                rows.append((text + "\n" + text[400:900] * 2 if i % 2 else text, row["lang"]))
    return rows


def test_kernel_equals_the_definition_on_real_text(passages: list[tuple[str, str]]) -> None:
    columns = compute(pa.array([text for text, _ in passages]), pa.array(["en"] * len(passages)), STOP_WORDS)
    for i, (text, _) in enumerate(passages[:60]):
        assert {name: values[i].as_py() for name, values in columns.items()} == expected(text)


def test_repetition_equals_datatrove_on_real_text(passages: list[tuple[str, str]]) -> None:
    """Datatrove's own functions, fed words split at white space and, for lines, no empty ones."""
    peer = pytest.importorskip("datatrove.pipeline.filters.gopher_repetition_filter")
    columns = compute(
        pa.array([text for text, _ in passages]), pa.array([lang for _, lang in passages]), load_stop_words()
    )
    n_repetitive = 0
    for i, (text, _) in enumerate(passages):
        seen = {name: values[i].as_py() for name, values in columns.items()}
        words, n_chars = text.split(), len(text)
        for n in (2, 3, 4):
            top = peer.find_top_duplicate(peer.get_n_grams(words, n))
            assert seen[f"top_{n}gram_char_share"] == pytest.approx(top / n_chars, abs=1e-12)
        for n in range(5, 11):
            chars = peer.find_all_duplicate(words, n)
            assert seen[f"dup_{n}gram_char_share"] == pytest.approx(chars / n_chars, abs=1e-12)
            n_repetitive += chars > 0
        lines = [line for line in text.split("\n") if line.strip()]
        n_repeats, chars = peer.find_duplicates(lines)
        assert seen["dup_line_share"] == pytest.approx(n_repeats / len(lines), abs=1e-12)
        assert seen["dup_line_char_share"] == pytest.approx(chars / n_chars, abs=1e-12)
    assert n_repetitive >= len(passages)  # the comparison met many repeats
