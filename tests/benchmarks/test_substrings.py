import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import substrings
from stages.windows import words_of

TEXTS = st.lists(st.text(alphabet="ab ,.\n\u00e9", max_size=25), min_size=1, max_size=5)


def suffixes(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Suffix array, and how many bytes each suffix shares with the next, written plainly."""
    order = sorted(range(len(data)), key=lambda at: data[at:])
    shared = [0] * len(data)
    for i in range(len(data) - 1):
        while data[order[i] :][: shared[i] + 1] == data[order[i + 1] :][: shared[i] + 1]:
            shared[i] += 1
    return np.array(order), np.array(shared)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 3))
def test_words_covered_by_spans_are_those_of_the_suffix_array(texts, k):
    words = words_of(pa.array(texts, pa.large_string()))
    seen = substrings.plain(texts)
    assert len(seen.starts) == len(words.starts)
    batch = pa.RecordBatch.from_pydict({"id": [str(i) for i in range(len(texts))], "text": texts})
    spans = substrings.find_spans([batch], [np.arange(len(texts))], k)
    covered = substrings.covered_by_spans(spans, words)
    assert covered.tolist() == substrings.covered_by_suffix_array(seen, *suffixes(seen.data), k).tolist()


def test_the_suffix_array_sees_words_and_marks_and_no_white_space():
    seen = substrings.plain(["«Ab, c d", "é"])
    assert seen.data == "Ab\x01,c\x01d\x01\x00é\x01\x00".encode()
    words = [seen.data[a:b].decode() for a, b in zip(seen.starts.tolist(), seen.ends.tolist(), strict=True)]
    assert words == ["Ab\x01", "c\x01", "d\x01", "é\x01"]
    assert seen.of_text.tolist() == [0, 0, 0, 1]


def test_documents_grow_alike_and_hold_the_planted_passages():
    texts = [" ".join(f"w{i}" for i in range(5000))]
    documents = substrings.grow(texts, 300, seed=1)
    assert documents == substrings.grow(texts, 300, seed=1) != substrings.grow(texts, 300, seed=2)
    assert all(200 <= len(document.split()) < 1000 for document in documents)
    spans, n_emptied, seconds = substrings.deduplicate(documents)
    assert 10 <= len(spans["id"].unique()) <= 60
    assert n_emptied == 0 < seconds


def test_figures(tmp_path, monkeypatch, capsys):
    text = " ".join(f"w{i}" for i in range(3000))
    (tmp_path / "texts.jsonl").write_text(json.dumps({"text": text}) + "\n")
    arguments = ["substrings.py", "--input", str(tmp_path), "--documents", "4", "--rounds", "1", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(substrings, "run_peer", lambda data, *_: (1.0, *suffixes(data)))
    substrings.main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["documents"] == 4
    assert figures["same_spans"] is True
    assert figures["substring_vs_suffix_array"] == 1 / figures["falconmix_s"]


def test_an_input_without_texts_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no .jsonl file there"):
        substrings.read_texts(str(tmp_path))
