import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.minhash import (
    NO_KEY,
    PRESETS,
    Geometry,
    GeometryError,
    ShingleSets,
    band_keys,
    collision_probability,
    jaccard,
    shingle_sets,
    signatures,
)

GEOMETRY = PRESETS["refinedweb"]
WORDS = st.sampled_from(["a", "b", "c", "d", "é", "日", "B", "_1"])
TEXTS = st.lists(st.lists(WORDS, max_size=12).map(" ".join), min_size=1, max_size=6)


def sets_of(sets: ShingleSets) -> list[np.ndarray]:
    return [sets.values[start:end] for start, end in zip(sets.offsets, sets.offsets[1:], strict=False)]


def word_shingles(text: str, width: int = 5) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    width = min(width, len(words))
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)} if words else set()


def exact_jaccard(a: str, b: str) -> float:
    x, y = word_shingles(a), word_shingles(b)
    return len(x & y) / len(x | y) if x | y else 0.0


def pairs_of(similarity: float, n_pairs: int, n_shingles: int = 400) -> pa.Array:
    """Texts in pairs, 2i and 2i + 1, of single-shingle overlap `similarity`: words are their own shingles (width 1)."""
    shared = round(similarity * n_shingles)
    texts = []
    for pair in range(n_pairs):
        common = [f"c{pair}x{i}" for i in range(shared)]
        own = (n_shingles - shared) // 2
        texts += [" ".join(common + [f"{side}{pair}x{i}" for i in range(own)]) for side in "ab"]
    return pa.array(texts)


def within_binomial(hits: float, trials: int, probability: float) -> bool:
    """Inside five standard deviations of a binomial count; the inputs are fixed, so the answer is too."""
    return abs(hits - trials * probability) <= 5 * math.sqrt(trials * probability * (1 - probability))


@settings(deadline=None)
@given(TEXTS)
def test_shingle_sets_are_the_distinct_word_windows(texts: list[str]) -> None:
    sets = sets_of(shingle_sets(pa.array(texts), GEOMETRY))
    assert [len(values) for values in sets] == [len(word_shingles(text)) for text in texts]
    assert all((np.diff(values.astype(object)) > 0).all() for values in sets)
    for text, values in zip(texts, sets, strict=True):
        assert jaccard(sets[0], values) == pytest.approx(exact_jaccard(texts[0], text), abs=1e-12)


@settings(deadline=None)
@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_jaccard_of_sorted_sets(a: set[int], b: set[int]) -> None:
    x, y = (np.array(sorted(values), np.uint64) for values in (a, b))
    assert jaccard(x, y) == (len(a & b) / len(a | b) if a | b else 0.0)


@settings(deadline=None, max_examples=40)
@given(TEXTS)
def test_signature_is_the_minimum_over_each_function(texts: list[str]) -> None:
    """A signature place of a union is the smaller of the parts' places, and equal sets have equal signatures."""
    geometry = Geometry(bands=3, rows=4, shingle=1)
    parts = signatures(pa.array(texts), geometry)
    (union,) = signatures(pa.array([" ".join(texts)]), geometry)
    assert union.tolist() == parts.min(axis=0).tolist()
    reversed_words = [" ".join(reversed(text.split())) for text in texts]
    assert signatures(pa.array(reversed_words), geometry).tolist() == parts.tolist()


@pytest.mark.parametrize("similarity", [0.5, 0.8, 0.95])
def test_signatures_agree_as_often_as_the_sets_do(similarity: float) -> None:
    geometry = Geometry(bands=16, rows=8, shingle=1)
    n_pairs = 200
    places = signatures(pairs_of(similarity, n_pairs), geometry)
    agreements = int((places[::2] == places[1::2]).sum())
    assert within_binomial(agreements, n_pairs * 128, similarity)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.75, 0.8, 0.95])
def test_candidates_come_as_often_as_the_curve_says(similarity: float) -> None:
    geometry = Geometry(bands=14, rows=8, shingle=1)
    n_pairs = 400
    keys = band_keys(pairs_of(similarity, n_pairs), geometry)
    candidates = int((keys[::2] == keys[1::2]).any(axis=1).sum())
    assert within_binomial(candidates, n_pairs, collision_probability(similarity, geometry))


def test_places_of_a_signature_are_independent() -> None:
    """Their number of agreements scatters as that of independent draws: variance within a third of the binomial."""
    geometry = Geometry(bands=16, rows=8, shingle=1)
    places = signatures(pairs_of(0.8, 300), geometry)
    agreements = (places[::2] == places[1::2]).sum(axis=1)
    assert agreements.var() == pytest.approx(128 * 0.8 * 0.2, rel=1 / 3)


@pytest.mark.parametrize(
    ("preset", "similarity", "probability"),
    [("refinedweb", 0.8, 0.9966), ("refinedweb-paper", 0.8, 0.9946), ("fineweb", 0.75, 0.772)],
)
def test_presets_have_the_published_probability(preset: str, similarity: float, probability: float) -> None:
    assert collision_probability(similarity, PRESETS[preset]) == pytest.approx(probability, abs=1e-3)


def test_band_keys_follow_the_rows_of_their_band() -> None:
    geometry = Geometry(bands=5, rows=2, shingle=1)
    texts = pa.array(["a b c d", "a b c e", "D c b A"])
    keys, places = band_keys(texts, geometry), signatures(texts, geometry).reshape(3, 5, 2)
    assert keys.shape == (3, 5)
    assert ((keys[0] == keys[1]) == (places[0] == places[1]).all(axis=1)).all()
    assert (keys[0] == keys[2]).all()


def test_a_text_without_words_has_no_keys() -> None:
    keys = band_keys(pa.array(["", "… - !", None, "word"]), GEOMETRY)
    assert (keys[:3] == NO_KEY).all()
    assert (keys[3] != NO_KEY).all()
    assert shingle_sets(pa.array(["", "…", "word"]), GEOMETRY).offsets.tolist() == [0, 0, 0, 1]


def test_short_texts_are_one_shingle() -> None:
    keys = band_keys(pa.array(["one two three", "One, two: THREE!", "one two", "two three one"]), GEOMETRY)
    assert (keys[0] == keys[1]).all()
    assert not (keys[0] == keys[2]).any()
    assert not (keys[0] == keys[3]).any()


def test_seeds_draw_different_functions() -> None:
    text = pa.array(["some words of a text that is long enough"])
    one, other = (signatures(text, Geometry(bands=4, rows=4, seed=seed)) for seed in (0, 1))
    assert not (one == other).any()


def test_signatures_do_not_change_between_releases() -> None:
    """These numbers are stored in indexes: a change here is a new format."""
    text = pa.array(["The quick brown fox jumps over the lazy dog, over and over again."])
    assert signatures(text, Geometry(bands=2, rows=2))[0].tolist() == [1177071386, 1401199562, 204352165, 107429705]
    assert band_keys(text, Geometry(bands=2, rows=2))[0].tolist() == [16673165631535414554, 18369830727498599962]


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"bands": 0, "rows": 1}, "bands is 0"),
        ({"bands": 1, "rows": 0}, "rows is 0"),
        ({"bands": 1, "rows": 1, "shingle": 0}, "shingle is 0"),
        ({"bands": 1, "rows": 1, "seed": -1}, "seed is -1"),
    ],
)
def test_an_empty_geometry_is_refused(settings_: dict[str, int], message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        Geometry(**settings_)


@pytest.fixture(scope="module")
def real_pairs(shared_data: Path) -> tuple[dict[str, str], list[tuple[str, str, float]]]:
    """Gold texts by URL, and the pairs of them whose Jaccard similarity is given."""
    pages = map(json.loads, (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines())
    texts = {page["url"]: page["gold"] for page in pages if page.get("gold")}
    with (shared_data / "gold" / "dup_pairs.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    pairs = [(row["url_a"], row["url_b"], float(row["jaccard"])) for row in rows]
    return texts, [pair for pair in pairs if pair[0] in texts and pair[1] in texts]


def test_real_pairs_have_the_given_similarity_and_are_found(
    real_pairs: tuple[dict[str, str], list[tuple[str, str, float]]],
) -> None:
    texts, pairs = real_pairs
    row = {url: i for i, url in enumerate(texts)}
    text = pa.array(list(texts.values()))
    sets, keys = sets_of(shingle_sets(text, GEOMETRY)), band_keys(text, GEOMETRY)
    measured = [round(jaccard(sets[row[a]], sets[row[b]]), 4) for a, b, _ in pairs]
    assert len(pairs) >= 150
    assert measured == pytest.approx([similarity for _, _, similarity in pairs], abs=1.01e-4)
    missed = [(a, b) for a, b, similarity in pairs if similarity >= 0.8 and not (keys[row[a]] == keys[row[b]]).any()]
    assert missed == []
