"""Near-duplicate candidates against the theory, and against two other implementations on real texts.

datasketch and datatrove get the words as ours sees them, with hashes and functions of their own. datatrove's word
tokenizers for languages need spaCy, which is not here: it gets words split at white space, so that only its shingles,
signatures and buckets are judged.
"""

import json
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash, MinHashLSH
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.utils.hashing import HashConfig
from datatrove.utils.text import TextNormConfig
from datatrove.utils.word_tokenizers import WordTokenizer
from scipy.stats import binom

from stages.minhash import (
    PRESETS,
    Geometry,
    ShingleSets,
    band_keys,
    collision_probability,
    jaccard,
    shingle_sets,
)

N_SHINGLES = 400
"""In the union of a pair."""

Pair = tuple[int, int]


def pairs_of(similarity: float, n_pairs: int) -> pa.Array:
    """Pairs of texts, 2i and 2i + 1, of words that occur nowhere else; they share their first words.

    n + 4 words shared are n shingles; each word after them is one more, of its side alone.
    """
    shared = round(similarity * N_SHINGLES)
    own = (N_SHINGLES - shared) // 2
    texts = []
    for pair in range(n_pairs):
        words = [f"p{pair}w{i}" for i in range(shared + 4)]
        texts += [" ".join(words + [f"p{pair}{side}{i}" for i in range(own)]) for side in "ab"]
    return pa.array(texts)


@pytest.mark.parametrize("similarity", [0.6, 0.7, 0.75, 0.8, 0.85])
@pytest.mark.parametrize(("preset", "n_pairs"), [("refinedweb", 2000), ("refinedweb-paper", 500), ("fineweb", 2000)])
def test_recall_is_within_the_binomial_interval_of_the_curve(preset: str, n_pairs: int, similarity: float) -> None:
    """Two-sided, 99.99 %; the seed is that of the preset, so the answer never changes."""
    geometry = PRESETS[preset]
    texts = pairs_of(similarity, n_pairs)
    sets = shingle_sets(texts.slice(0, 2), geometry)
    assert jaccard(set_of(sets, 0), set_of(sets, 1)) == pytest.approx(similarity, abs=1e-12)
    keys = band_keys(texts, geometry)
    found = int((keys[::2] == keys[1::2]).any(axis=1).sum())
    probability = collision_probability(similarity, geometry)
    least, most = binom.ppf([0.5e-4, 1 - 0.5e-4], n_pairs, probability)
    assert least <= found <= most


class Split(WordTokenizer):
    """Words at white space."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    sent_tokenize = span_tokenize = word_tokenize


class RealTexts:
    """Texts with the words that every implementation gets, and the exact shingle sets."""

    def __init__(self, texts: list[str]) -> None:
        self.words = [re.findall(r"\w+", text.lower()) for text in texts]
        self.text = pa.array(texts)
        self.sets = shingle_sets(self.text, PRESETS["refinedweb"])

    def similarity(self, pair: Pair) -> float:
        return jaccard(*(set_of(self.sets, row) for row in pair))

    def similar(self, pairs: Iterable[Pair], least: float) -> set[Pair]:
        """Those of the pairs whose shingle sets have this similarity at least."""
        return {pair for pair in pairs if self.similarity(pair) >= least}


def set_of(sets: ShingleSets, row: int) -> np.ndarray:
    return sets.values[sets.offsets[row] : sets.offsets[row + 1]]


def pairs_sharing(keys: Iterable[Iterable[Hashable]]) -> set[Pair]:
    """Rows that have a key in common; a document's keys are of its bands, in their order."""
    buckets = defaultdict(list)
    for row, bands in enumerate(keys):
        for key in enumerate(bands):
            buckets[key].append(row)
    return {pair for rows in buckets.values() for pair in combinations(rows, 2)}


def of_ours(texts: RealTexts, geometry: Geometry) -> set[Pair]:
    return pairs_sharing(band_keys(texts.text, geometry).tolist())


def of_datasketch(texts: RealTexts, geometry: Geometry) -> set[Pair]:
    """Candidates of datasketch's index for the same bands and rows."""
    n = geometry.bands * geometry.rows
    lsh = MinHashLSH(num_perm=n, params=(geometry.bands, geometry.rows))
    pairs = set()
    for row, words in enumerate(texts.words):
        minhash = MinHash(num_perm=n, seed=1)
        minhash.update_batch([" ".join(shingle).encode() for shingle in windows(words, geometry.shingle)])
        pairs |= {(earlier, row) for earlier in lsh.query(minhash)}
        lsh.insert(row, minhash)
    return pairs


def of_datatrove(texts: RealTexts, geometry: Geometry, folder: Path) -> set[Pair]:
    """Documents with a bucket of datatrove's signatures in common."""
    as_given = TextNormConfig(
        lowercase=False, remove_punctuation=False, norm_unicode_diacritics=False, norm_numbers=False
    )
    config = MinhashConfig(
        n_grams=geometry.shingle,
        num_buckets=geometry.bands,
        hashes_per_bucket=geometry.rows,
        norm_config=as_given,
        hash_config=HashConfig(precision=64, hash_fc="sha1"),
    )
    step = MinhashDedupSignature(str(folder), config, language=Split())
    shingles = (step.get_shingles(" ".join(words)) for words in texts.words)
    return pairs_sharing(map(tuple, step.get_signature(found)) for found in shingles)


def windows(words: list[str], width: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)}


def pages(shared_data: Path) -> list[str]:
    """Main texts of real pages with five words and more; datatrove has no shingle for shorter ones."""
    rows = map(json.loads, (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines())
    return [row["gold"] for row in rows if row.get("gold") and len(re.findall(r"\w+", row["gold"])) >= 5]


def passages(shared_data: Path, shifts: range) -> list[str]:
    """Passages of 400 words from novels in eleven languages, 2i, and the same begun some words later, 2i + 1."""
    texts = []
    for file in sorted((shared_data / "text").glob("*.jsonl")):
        rows = map(json.loads, file.read_text(encoding="utf-8").splitlines())
        words = " ".join(row["text"] for row in rows).split()
        for place, shift in enumerate(shifts):
            start = 600 * place
            texts += [" ".join(words[first : first + 400]) for first in (start, start + shift)]
    return texts


@pytest.fixture(scope="module")
def real_texts(shared_data: Path) -> RealTexts:
    return RealTexts(pages(shared_data) + passages(shared_data, range(2, 20, 2)))


@pytest.fixture(scope="module")
def copies(real_texts: RealTexts) -> set[Pair]:
    """All pairs of J >= 0.9, by comparing every pair."""
    pairs = real_texts.similar(combinations(range(len(real_texts.words)), 2), 0.9)
    assert len(pairs) >= 100
    return pairs


def test_the_copies_that_datasketch_finds_are_found(real_texts: RealTexts, copies: set[Pair]) -> None:
    geometry = PRESETS["refinedweb"]
    ours, theirs = of_ours(real_texts, geometry), of_datasketch(real_texts, geometry)
    assert real_texts.similar(ours, 0.9) == real_texts.similar(theirs, 0.9) == copies


def test_the_copies_that_datatrove_finds_are_found(real_texts: RealTexts, copies: set[Pair], tmp_path: Path) -> None:
    geometry = PRESETS["refinedweb"]
    ours, theirs = of_ours(real_texts, geometry), of_datatrove(real_texts, geometry, tmp_path)
    assert real_texts.similar(ours, 0.9) == real_texts.similar(theirs, 0.9) == copies


def test_all_three_find_as_many_of_the_less_similar(shared_data: Path, tmp_path: Path) -> None:
    """Pairs of .55 to .8, found by chance: as many by each as the curve says, within five deviations."""
    geometry = PRESETS["fineweb"]
    texts = RealTexts(passages(shared_data, range(44, 114, 2)))
    pairs = {(row, row + 1) for row in range(0, len(texts.words), 2)}
    found = (of_ours(texts, geometry), of_datasketch(texts, geometry), of_datatrove(texts, geometry, tmp_path))
    probability = np.array([collision_probability(texts.similarity(pair), geometry) for pair in pairs])
    deviation = np.sqrt((probability * (1 - probability)).sum())
    counts = [len(pairs & candidates) for candidates in found]
    assert len(pairs) > 300
    assert counts == pytest.approx([probability.sum()] * 3, abs=5 * deviation)
