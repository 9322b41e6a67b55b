import numpy as np
import pyarrow.parquet as pq
import pytest

from dedup_command import dedup, recall, role_of, similar_pairs
from grown_corpus import corpus_of, write


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """600 documents with their pairs."""
    folder = tmp_path_factory.mktemp("grown")
    words = np.random.default_rng(0).integers(0, 500, 5000)
    (folder / "all.tsv").write_text(" ".join(f"w{n}" for n in words) + "\ten\n")
    write(corpus_of(str(folder / "all.tsv"), 600), folder / "out")
    return folder / "out"


def test_planted_pairs_end_in_one_cluster_and_one_of_each_is_kept(grown, tmp_path):
    files = sorted((grown / "documents").iterdir())
    found = dedup(files, tmp_path / "run", {"substrings": None})
    pairs = similar_pairs(grown / "pairs.parquet")
    assert pairs.num_rows > 30
    assert recall(pairs, found.clusters) > 0.98
    assert found.documents == 600
    assert found.kept == 600 - len(found.clusters) + len(set(found.clusters.values()))
    kept = set(pq.read_table(tmp_path / "run" / "out" / "documents")["id"].to_pylist())
    assert set(found.clusters.values()) <= kept
    assert found.usage.total_s > 0


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("ray::search()", "worker"),
        ("python ray/_private/workers/default_worker.py --node-ip-address=…", "worker"),
        ("ray/core/src/ray/gcs/gcs_server --log_dir=…", "ray"),
    ],
)
def test_workers_are_told_from_rays_own_processes(line, role):
    assert role_of(line) == role
