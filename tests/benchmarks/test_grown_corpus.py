from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import grown_corpus
from grown_corpus import Corpus, corpus_of, plan_of, write
from stages.minhash import PRESETS, jaccard, shingle_sets


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two languages of 3,000 words each, out of vocabularies of their own."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("texts") / "all.tsv"
    lines = [" ".join(f"{lang}{n}é" for n in rng.integers(0, 300, 3000)) + f"\t{lang}" for lang in ("de", "en")]
    path.write_text("\n".join([*lines, "too few words\tfr"]), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def corpus(texts) -> Corpus:
    return corpus_of(texts, 300, seed=1)


def everything(corpus: Corpus) -> pa.Table:
    return corpus.table(np.arange(corpus.n_documents))


def test_documents_are_walks_through_the_bigrams_of_one_language(corpus, texts):
    with open(texts, encoding="utf-8") as file:
        words = {line.split("\t")[1].strip(): line.split("\t")[0].split() for line in file}
    follows = {name: set(zip(some, [*some[1:], some[0]], strict=True)) for name, some in words.items()}
    table = everything(corpus)
    bases = np.flatnonzero((corpus.plan.similarity == 1.0) & (corpus.plan.passage < 0))
    assert set(table["language"].to_pylist()) == {"de", "en"}
    for row in table.take(pa.array(bases)).to_pylist():
        found = row["text"].split(" ")
        assert 200 <= len(found) < 800
        assert set(pairwise(found)) <= follows[row["language"]]


def test_a_document_depends_on_its_number_and_the_seed_alone(corpus, texts):
    table = everything(corpus)
    some = np.array([250, 3, 77])
    assert corpus.table(some).equals(table.take(pa.array(some)))
    assert everything(corpus_of(texts, 300, seed=1)).equals(table)
    assert not everything(corpus_of(texts, 300, seed=2)).equals(table)
    assert len(set(table["id"].to_pylist())) == 300


def test_pairs_are_those_of_families_with_their_exact_similarity(corpus, monkeypatch):
    table = everything(corpus)
    family = dict(zip(table["id"].to_pylist(), corpus.plan.family.tolist(), strict=True))
    whole = pa.concat_tables(corpus.pairs())
    pairs = {frozenset((row["id_a"], row["id_b"])): row["jaccard"] for row in whole.to_pylist()}
    ids = table["id"].to_pylist()
    expected = {frozenset((a, b)) for i, a in enumerate(ids) for b in ids[:i] if family[a] == family[b]}
    assert pairs.keys() == expected
    assert len(pairs) == whole.num_rows > 50
    texts = dict(zip(ids, table["text"].to_pylist(), strict=True))
    for pair in list(pairs)[:50]:
        sets = shingle_sets(pa.array([texts[one] for one in pair]), PRESETS["fineweb"])
        split = np.split(sets.values, sets.offsets[1:-1])
        assert pairs[pair] == jaccard(*split)
    monkeypatch.setattr(grown_corpus, "PART_DOCUMENTS", 20)
    assert pa.concat_tables(corpus.pairs()).equals(whole)


def test_edited_members_come_as_near_as_asked(corpus):
    table, plan = everything(corpus), corpus.plan
    sets = shingle_sets(table["text"].combine_chunks(), PRESETS["fineweb"])
    split = np.split(sets.values, sets.offsets[1:-1])
    base = {family: i for i, family in enumerate(plan.family.tolist()) if plan.similarity[i] == 1.0}
    off = [
        jaccard(split[i], split[base[plan.family[i]]]) - plan.similarity[i]
        for i in range(300)
        if plan.similarity[i] < 1.0
    ]
    assert len(off) > 50
    assert abs(np.mean(off)) < 0.05
    assert np.abs(off).max() < 0.15


def test_a_planted_passage_is_the_same_wherever_it_stands(corpus):
    texts = dict(zip(*(everything(corpus)[name].to_pylist() for name in ("id", "text")), strict=True))
    passages = corpus.passages().to_pylist()
    seen: dict[int, set[str]] = {}
    for row in passages:
        words = texts[row["id"]].split(" ")[row["start_word"] : row["start_word"] + row["n_words"]]
        assert len(words) == row["n_words"] >= 60
        seen.setdefault(row["passage"], set()).add(" ".join(words))
    assert len(passages) > 15
    assert all(len(copies) == 1 for copies in seen.values())
    assert len(set.union(*seen.values())) == len(seen) < len(passages)


def test_families_have_power_law_sizes():
    plan = plan_of(20_000, seed=0)
    sizes = np.bincount(np.bincount(plan.family), minlength=5)
    assert sizes[1] > 4 * sizes[2] > 8 * sizes[3] > 16 * sizes[4] > 0
    assert 0.09 < np.mean(plan.passage >= 0) < 0.11
    assert (np.bincount(plan.family)[plan.family[plan.passage >= 0]] == 1).all()


def test_all_is_written_in_parts(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(grown_corpus, "PART_DOCUMENTS", 128)
    counts = write(corpus, tmp_path / "out")
    files = sorted((tmp_path / "out" / "documents").iterdir())
    assert [pq.read_metadata(file).num_rows for file in files] == [128, 128, 44]
    assert pa.concat_tables(pq.read_table(file) for file in files).equals(everything(corpus))
    assert pq.read_table(tmp_path / "out" / "pairs.parquet").num_rows == counts["pairs"]
    assert pq.read_table(tmp_path / "out" / "passages.parquet").num_rows == counts["passages"]


def test_texts_that_are_too_few_are_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one two", "lang": "en"}\n')
    with pytest.raises(SystemExit, match="2,000 words"):
        corpus_of(str(tmp_path), 10)
