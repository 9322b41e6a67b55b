"""Spans against the rule written plainly, and against a suffix array."""

import json
import re
from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from stages import schema, substrings
from stages.repeats import candidates, documents_of, first_occurrences, hash_partition, in_order, ties
from stages.substrings import Cut, SubstringRules, cut, filter_substrings, find_spans, spans_of
from stages.window_sketch import count, empty_sketch, merged
from stages.windows import WindowHashes, Words, text_window_hashes, words_from

Row = tuple[str, int, int, str, int]
Word = tuple[str, str]
Place = tuple[int, int]

PIECES = ["a", "b", "é", "中", " ", " ", " ", ", ", "-", "\n", "\u00a0", "a b ", "a b a ", "ि"]


def words_of(text: str) -> list[tuple[Word, int, int]]:
    """((marks before the word, word), first byte, byte after the last) of each word."""
    found, before, at = [], 0, 0
    for match in re.finditer(r"\w+", text):
        gap = text[before : match.start()]
        start = at + len(gap.encode())
        before, at = match.end(), start + len(match.group().encode())
        found.append((("".join(gap.split()), match.group()), start, at))
    return found


def windows_of(text: str, k: int) -> list[tuple[Word, ...]]:
    words = [word for word, _, _ in words_of(text)]
    return [(("", words[p][1]), *words[p + 1 : p + k]) for p in range(len(words) - k + 1)]


def sources_of(texts: Sequence[str], k: int) -> list[dict[int, Place]]:
    """The rule: for each text, in order, each word that is removed, and the place of its earliest occurrence."""
    first: dict[tuple[Word, ...], Place] = {}
    sources = []
    for i, text in enumerate(texts):
        found: dict[int, Place] = {}
        for p, window in enumerate(windows_of(text, k)):
            doc, place = first.setdefault(window, (i, p))
            if (doc, place) != (i, p):
                for j in range(k):
                    found.setdefault(p + j, (doc, place + j))  # of the leftmost window that covers the word
        sources.append(found)
    return sources


def expected(ids: Sequence[str], texts: Sequence[str], k: int) -> list[Row]:
    """The rows of the table of spans, texts given in order."""
    bounds = [[(start, end) for _, start, end in words_of(text)] for text in texts]
    rows: list[Row] = []
    for i, found in enumerate(sources_of(texts, k)):
        for p in sorted(found):
            doc, place = found[p]
            start, end = bounds[i][p]
            if p - 1 in found and found[p - 1] == (doc, place - 1):
                rows[-1] = (*rows[-1][:2], end, *rows[-1][3:])
                continue
            if p - 1 in found:
                rows[-1] = (*rows[-1][:2], start, *rows[-1][3:])
            rows.append((ids[i], start, end, ids[doc], bounds[doc][place][0]))
    return rows


def rows_of(spans: pa.Table) -> list[Row]:
    schema.check(spans, schema.SPAN)
    return [tuple(row.values()) for row in spans.to_pylist()]


def batch_of(ids: Sequence[str], texts: Sequence[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())})


def found(texts: Sequence[str], k: int, **options: int) -> list[Row]:
    """Spans of texts given in order, in one batch; ids are their numbers."""
    ids = [str(i) for i in range(len(texts))]
    return rows_of(find_spans([batch_of(ids, texts)], [np.arange(len(texts))], k, **options))


def after_cut(texts: Sequence[str], k: int) -> list[str]:
    ids = [str(i) for i in range(len(texts))]
    batch = batch_of(ids, texts)
    return cut(batch["id"], batch["text"], find_spans([batch], [np.arange(len(texts))], k)).text.to_pylist()


@pytest.fixture(params=[None, 1, 3], ids=["", "one-hash", "three-hashes"])
def hashes(request, monkeypatch):
    """The real hash, and some that tell windows apart by chance only."""
    if request.param:
        real = substrings.text_window_hashes

        def weak(text: pa.Array, k: int) -> WindowHashes:
            windows = real(text, k)
            return WindowHashes(windows.hashes % np.uint64(request.param), windows.offsets)

        monkeypatch.setattr(substrings, "text_window_hashes", weak)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], list[int], list[int]]:
    """Texts of few words; the order of their rows; the rows at which batches end."""
    texts = draw(st.lists(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), max_size=6))
    order = draw(st.permutations(range(len(texts))))
    ends = draw(st.lists(st.integers(0, len(texts)), max_size=3).map(sorted))
    return texts, order, ends


def find_in_batches(texts: Sequence[str], order: Sequence[int], ends: Sequence[int], k: int, n: int) -> pa.Table:
    """Text i has rank 3 · i; row j holds text order[j]."""
    bounds = [0, *ends, len(texts)]
    parts = [list(order[a:b]) for a, b in pairwise(bounds)]
    batches = [batch_of([f"id{i}" for i in part], [texts[i] for i in part]) for part in parts]
    return find_spans(batches, [3 * np.array(part, np.int64) for part in parts], k, n_partitions=n)


@pytest.mark.usefixtures("hashes")
def test_spans_are_those_of_the_rule_however_rows_and_hashes_are_distributed():
    @settings(deadline=None, max_examples=300)
    @given(corpora(), st.integers(1, 4), st.integers(1, 3))
    def holds(corpus, k, n_partitions):
        texts, order, ends = corpus
        spans = find_in_batches(texts, order, ends, k, n_partitions)
        assert rows_of(spans) == expected([f"id{i}" for i in range(len(texts))], texts, k)

    holds()


@settings(deadline=None, max_examples=100)
@given(corpora(), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_the_steps_of_a_distributed_run_give_the_same(corpus, k, n_partitions, cut_rank):
    """Units make sketches and windows, ranges of hashes find firsts, ranges of ranks prove them and make spans."""
    texts, order, _ = corpus
    units = [batch_of([str(i)], [texts[i]]) for i in order]
    hashes = [text_window_hashes(unit["text"], k) for unit in units]
    sketches = [empty_sketch(100) for _ in units]
    for sketch, one in zip(sketches, hashes, strict=True):
        count(sketch, one.hashes)
    whole = reduce(merged, sketches, empty_sketch(100))
    written = [
        hash_partition(candidates(one, np.array([i]), whole), n_partitions)
        for one, i in zip(hashes, order, strict=True)
    ]
    firsts = [first_occurrences(pa.concat_tables(part)) for part in zip(*written, strict=True)]
    repeats = in_order(pa.concat_tables([schema.REPEAT.empty_table(), *firsts]))
    rows = []
    for in_range in (pc.less(repeats["rank"], cut_rank), pc.greater_equal(repeats["rank"], cut_rank)):
        mine = repeats.filter(in_range)
        named = sorted({*mine["rank"].to_pylist(), *mine["first_rank"].to_pylist()})
        documents = documents_of(
            pa.array(map(str, named), pa.string()),
            pa.array([texts[i] for i in named], pa.string()),
            np.array(named, np.int64),
        )
        assert ties(mine, documents, k).size == 0
        rows += rows_of(spans_of(mine, documents, k))
    assert rows == found(texts, k)


@settings(deadline=None, max_examples=200)
@given(corpora(), st.integers(1, 4))
def test_covered_words_are_those_of_a_suffix_array(corpus, k):
    texts, order, ends = corpus
    spans = rows_of(find_in_batches(texts, order, ends, k, 1))
    covered = [set[int]() for _ in texts]
    for name, start, end, _, _ in spans:
        i = int(name.removeprefix("id"))
        covered[i] |= {p for p, (_, a, b) in enumerate(words_of(texts[i])) if start <= a and b <= end}
    assert covered == covered_by_suffix_array(texts, k)


def covered_by_suffix_array(texts: Sequence[str], k: int) -> list[set[int]]:
    """Words in a window that a suffix array finds at an earlier place; a text becomes marks, word, …, end."""
    items: list[tuple[str, str]] = []
    places: list[Place | None] = []
    for i, text in enumerate(texts):
        for p, ((marks, word), _, _) in enumerate(words_of(text)):
            items += [("marks", marks), ("word", word)]
            places += [None, (i, p)]
        items.append(("end", str(i)))
        places.append(None)
    order, shared = suffix_array([sorted(set(items)).index(item) for item in items])
    covered = [set[int]() for _ in texts]
    group: list[Place] = []
    for at, lcp in zip(order, shared, strict=True):
        if lcp < 2 * k - 1:
            group = []
        if (place := places[at]) and place[1] + k <= sum(1 for other in places if other and other[0] == place[0]):
            group.append(place)
            for i, p in sorted(group)[1:]:
                covered[i] |= set(range(p, p + k))
    return covered


def suffix_array(numbers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Starts of the suffixes in their order, and how many items each shares with the one before it."""
    order = sorted(range(len(numbers)), key=lambda at: numbers[at:])
    shared = [0]
    for a, b in pairwise(order):
        n = 0
        while max(a, b) + n < len(numbers) and numbers[a + n] == numbers[b + n]:
            n += 1
        shared.append(n)
    return order, shared[: len(order)]


@pytest.mark.usefixtures("hashes")
def test_an_isolated_passage_keeps_its_first_copy_whole():
    passage = "one two, three four"
    texts = [f"Before {passage} after.", f"Other ({passage}) words.", f"{passage}\nagain"]
    assert after_cut(texts, 3) == [texts[0], "Other () words.", "\nagain"]
    assert found(texts, 3) == [("1", 7, 26, "0", 7), ("2", 0, 19, "0", 7)]


def test_case_and_marks_tell_passages_apart_and_white_space_does_not():
    first = "one two, three four"
    for other in ("One two, three four", "one two three four", "one two; three four", "one, two, three four", "onetwo"):
        assert found([first, other], 4) == []
    for other in ("one two, three four", "one\n\ttwo , three\u3000four", "«one two,three four»"):
        assert len(found([first, other], 4)) == 1


def test_combining_marks_are_compared():
    assert found(["कि की कि", "का कि की"], 3) == []
    assert len(found(["कि की कि", "कि की कि"], 3)) == 1


def test_a_word_repeated_is_cut_down_to_one():
    assert after_cut(["a a a a a a a"], 3) == ["a "]
    assert found(["a a a a a"], 3) == [("0", 2, 8, "0", 0), ("0", 8, 9, "0", 4)]


def test_a_repeat_inside_one_document():
    assert found(["a b c x a b c"], 3) == [("0", 8, 13, "0", 0)]
    assert after_cut(["a b c x a b c."], 3) == ["a b c x ."]


def test_a_span_whose_source_changes_is_two_rows_that_meet():
    texts = ["a b c", "d e f", "a b c, d e f"]
    assert found(texts, 3) == [("2", 0, 7, "0", 0), ("2", 7, 12, "1", 0)]
    assert after_cut(texts, 3)[2] == ""


def test_the_source_is_that_of_the_leftmost_window():
    texts = ["b c d e", "a b c", "a b c d e"]
    assert found(texts, 3) == [("2", 0, 6, "1", 0), ("2", 6, 9, "0", 4)]


def test_tokens_in_place_of_words():
    """Every character a token, white space and all."""

    def characters(text: pa.Array) -> Words:
        chars = [char for one in text.to_pylist() for char in one]
        lengths = np.array([len(char.encode()) for char in chars], np.int64)
        offsets = np.cumsum([0, *map(len, text.to_pylist())]).astype(np.int64)
        ends = np.cumsum(lengths)
        base = np.repeat(np.concatenate([[0], ends])[offsets[:-1]], np.diff(offsets))
        return words_from(
            text, np.array([ord(c) for c in chars], np.uint64), ends - lengths - base, ends - base, offsets
        )

    texts = ["an éclair, a bun", "", "no éclair,  a bun; une éclair, a"]
    batch = batch_of(["0", "1", "2"], texts)
    spans = rows_of(find_spans([batch], [np.arange(3)], 8, split=characters))
    assert spans == [("2", 2, 12, "0", 2), ("2", 23, 34, "0", 2)]
    assert [texts[2].encode()[start:end].decode() for _, start, end, _, _ in spans] == [" éclair, ", " éclair, a"]


def test_tokens_of_a_real_tokenizer(shared_data):
    """Of a byte-level one, so that several tokens may share a character; covered tokens are those of the plain rule."""
    tokenizer = Tokenizer.from_file(str(shared_data / "models" / "falcon_tokenizer.json"))

    def tokens(text: pa.Array) -> Words:
        found = [(one, tokenizer.encode(one, add_special_tokens=False)) for one in text.to_pylist()]
        keys = [key for _, encoding in found for key in encoding.ids]
        bounds = [bytes_of(one, encoding.offsets) for one, encoding in found]
        starts, ends = np.array([pair for pairs in bounds for pair in pairs], np.int64).reshape(-1, 2).T
        offsets = np.cumsum([0, *map(len, bounds)]).astype(np.int64)
        return words_from(text, np.array(keys, np.uint64), starts, ends, offsets)

    lines = [page["gold"] for page in jsonl(shared_data / "gold" / "pages.jsonl") if page.get("gold")][:60]
    texts = [*lines, *(f"{a[:300]} \U0001f9ff𒀀 {b[-400:]}" for a, b in pairwise(lines))]
    spans = rows_of(
        find_spans([batch_of(list(map(str, range(len(texts)))), texts)], [np.arange(len(texts))], 40, split=tokens)
    )
    covered = {i: [(start, end) for name, start, end, _, _ in spans if int(name) == i] for i in range(len(texts))}
    first: dict[tuple[int, ...], Place] = {}
    for i, text in enumerate(texts):
        encoding = tokenizer.encode(text, add_special_tokens=False)
        ids, bounds = encoding.ids, bytes_of(text, encoding.offsets)
        starts = [p for p in range(len(ids) - 39) if first.setdefault(tuple(ids[p : p + 40]), (i, p)) != (i, p)]
        taken = {q for p in starts for q in range(p, p + 40)}
        runs = [q for q in sorted(taken) if q - 1 not in taken], [q for q in sorted(taken) if q + 1 not in taken]
        expected_runs = [(bounds[a][0], bounds[b][1]) for a, b in zip(*runs, strict=True)]
        assert joined(covered[i]) == expected_runs
    assert sum(map(len, covered.values())) > 80


def bytes_of(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    at = np.cumsum([0, *(len(char.encode()) for char in text)]).tolist()
    return [(at[start], at[end]) for start, end in offsets]


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans with those joined of which one ends where the next begins."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def test_passages_are_found_across_languages():
    quote = "Le cœur a ses raisons que la raison ne connaît point"
    texts = [f"Pascal schrieb: „{quote}“. Das gilt noch.", f"Pascal wrote: “{quote}”. It still holds."]
    assert after_cut(texts, 10)[1] == "Pascal wrote: “”. It still holds."


def test_scripts_without_spaces_are_words_between_marks():
    clauses = "春眠不覚暁、処処聞啼鳥。夜来風雨声、花落知多少。"
    assert found([clauses, "詩：" + clauses], 4) == [("1", 6, 6 + len(clauses.encode()) - 3, "0", 0)]


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["word", "word"], ["a b", "a b"], ["...", "...", "!"], [" \n"]])
def test_texts_shorter_than_a_window_are_left_alone(texts):
    assert found(texts, 3) == []
    assert after_cut(texts, 3) == texts


def test_one_word_windows():
    assert after_cut(["word", "word", "a word"], 1) == ["word", "", "a "]


def test_a_thousand_identical_documents_leave_one():
    text = " ".join(f"w{i}" for i in range(120)) + "."
    left = after_cut([text] * 1200, 50)
    assert left == [text] + ["."] * 1199
    spans = find_in_batches([text] * 1200, range(1200), [7, 600], 50, 4)
    assert set(spans["first_id"].to_pylist()) == {"id0"}
    assert spans.num_rows == 1199


def test_a_document_of_ten_megabytes():
    numbers = np.random.default_rng(0).integers(0, 10**6, 1_500_000).tolist()
    passage = " ".join(f"p{i}" for i in range(60))
    half = " ".join(map(str, numbers))
    text = f"{half} {passage} {half}"
    assert len(text) > 10e6
    start = len(half) + 1 + len(passage) + 1
    assert found([text], 50) == [("0", start, len(text), "0", 0)]
    assert found([text, passage], 50)[1] == ("1", 0, len(passage), "0", len(half) + 1)


def test_real_texts_with_planted_passages(shared_data):
    chapters = [
        json.loads(line)["text"]
        for path in sorted((shared_data / "text").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()[:6]
    ]
    rng = np.random.default_rng(1)
    texts = [chapter[:4000] for chapter in chapters]
    for _ in range(60):
        source, target = rng.integers(0, len(texts), 2)
        words = texts[source].split(" ")
        at = rng.integers(0, max(len(words) - 150, 1))
        passage = " ".join(words[at : at + rng.integers(30, 150)])
        place = texts[target].find(" ", rng.integers(0, len(texts[target])))
        texts[target] = f"{texts[target][:place]} {passage}{texts[target][place:]}"
    for k in (50, 10, 4):
        rows = found(texts, k, n_partitions=3)
        assert rows == expected([str(i) for i in range(len(texts))], texts, k)
        assert len(rows) > 40


def test_every_shared_passage_of_the_gold_texts_stands_once(shared_data):
    passages = [line["text"] for line in jsonl(shared_data / "gold" / "passages.jsonl")]
    urls = {row.split("\t")[0] for row in (shared_data / "gold" / "substring.tsv").read_text().splitlines()[1:]}
    texts = [page["gold"] for page in jsonl(shared_data / "gold" / "pages.jsonl") if page["url"] in urls]
    left = after_cut(texts, 50)
    assert len(passages) == 23
    for passage in passages:
        assert occurrences(passage, texts) > 1
        assert occurrences(passage, left) == 1


def jsonl(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def occurrences(passage: str, texts: Sequence[str]) -> int:
    k = len(words_of(passage))
    (wanted,) = windows_of(passage, k)
    first = wanted[0][1]
    return sum(windows_of(text, k).count(wanted) for text in texts if first in text)


def test_documents_are_put_into_their_order():
    documents = documents_of(pa.array(["x", "y"]), pa.array(["b c", "a"]), np.array([5, 2]))
    assert documents.ids.to_pylist() == ["y", "x"]
    assert documents.ranks.tolist() == [2, 5]
    assert documents.words.offsets.tolist() == [0, 1, 3]


def spans_table(*rows: tuple[str, int, int]) -> pa.Table:
    return pa.Table.from_pylist(
        [{"id": name, "start": start, "end": end, "first_id": "0", "first_start": 0} for name, start, end in rows],
        schema.SPAN,
    )


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_cutting_takes_bytes_out_and_nothing_else(kind):
    ids, text = pa.array(["p", "q", "r", "s"]), pa.array(["äöü abc", None, "xyz", ""], kind)
    spans = spans_table(("r", 2, 3), ("p", 7, 9), ("r", 0, 1), ("elsewhere", 0, 9), ("p", 2, 4))
    done = cut(ids[1:].slice(0, 2), text.slice(1, 2), spans)
    assert (done.text.to_pylist(), done.removed_bytes.tolist()) == ([None, "y"], [0, 2])
    done = cut(ids, text, spans)
    assert done.text.type == kind
    assert done.text.to_pylist() == ["äü c", None, "y", ""]
    assert done.removed_bytes.tolist() == [4, 0, 2, 0]


def verdicts(texts: list[str], left: list[str], removed: list[int], **options: object) -> list:
    batch = batch_of([str(i) for i in range(len(texts))], texts)
    done = Cut(text=pa.array(left, pa.string()), removed_bytes=np.array(removed))
    rules = SubstringRules(**options)
    return filter_substrings(batch, done, rules)["substrings"].to_pylist()


def test_what_cutting_leaves_too_short_is_dropped():
    long = "é" * 20
    assert verdicts([long + "x", long + "y", "short"], ["\n" + long + " ", long[1:] + "\n", "short"], [1, 3, 0]) == [
        None,
        {"rule": "emptied", "value": 19, "threshold": 20, "detail": None},
        None,
    ]
    assert verdicts(["ab cd"], ["ab "], [2], min_chars=2) == [None]


def test_modes():
    assert verdicts(["ab cd", "ef"], ["ab ", "ef"], [2, 0], mode="drop") == [
        {"rule": "repeated_passage", "value": 0.4, "threshold": 0, "detail": None},
        None,
    ]
    assert verdicts(["ab cd", "ef"], ["ab ", "ef"], [2, 0], mode="mask") == [None, None]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="k is 0"):
        SubstringRules(k=0)
    with pytest.raises(ValueError, match="the modes are cut, mask, drop"):
        SubstringRules(mode="erase")
