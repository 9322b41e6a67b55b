import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dedup
from grown_corpus import corpus_of, write
from stages.minhash import PRESETS


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """600 documents in three files with their pairs."""
    folder = tmp_path_factory.mktemp("grown")
    words = np.random.default_rng(0).integers(0, 500, 5000)
    (folder / "all.tsv").write_text(" ".join(f"w{n}" for n in words) + "\ten\n")
    write(corpus_of(str(folder / "all.tsv"), 600), folder / "out")
    return folder / "out"


def test_planted_pairs_end_in_one_cluster_and_one_of_each_is_kept(grown, tmp_path):
    files = sorted((grown / "documents").iterdir())
    found = dedup.search(files, tmp_path / "kept", PRESETS["refinedweb"])
    pairs = dedup.similar_pairs(grown / "pairs.parquet")
    assert pairs.num_rows > 30
    assert dedup.recall(pairs, found.clusters) > 0.98
    assert found.documents == 600
    assert found.kept == 600 - len(found.clusters) + len(set(found.clusters.values()))
    kept = pq.read_table(tmp_path / "kept")
    first = {}
    for one in pq.read_table(grown / "documents")["id"].to_pylist():
        first.setdefault(found.clusters.get(one, one), one)
    assert kept["id"].to_pylist() == list(first.values())


def test_sets_are_made_of_the_rows_asked_for():
    text = pa.array(["a b c d e f", "", "a b c d e", "g"])
    sets = dedup._sets_of(text, np.array([0, 3]), PRESETS["refinedweb"])
    assert np.diff(sets.offsets).tolist() == [2, 0, 0, 1]
    assert sets.values.size == 3


def test_recall_is_the_share_of_pairs_in_one_cluster():
    pairs = pa.table({"id_a": ["a", "a", "c", "e"], "id_b": ["b", "c", "d", "f"]})
    assert dedup.recall(pairs, {"a": 1, "b": 1, "c": 2, "d": 3}) == 0.25
    assert dedup.recall(pairs.slice(0, 0), {}) == 1.0


def test_a_peer_that_fails_ends_the_run_with_its_words(tmp_path):
    with pytest.raises(SystemExit, match="peer_rensa.py failed"):
        dedup.run_rensa(sys.executable, tmp_path / "none", 1)
