import sys

import pyarrow as pa
import pytest

import dedup
from dedup_command import recall


def test_recall_is_the_share_of_pairs_in_one_cluster():
    pairs = pa.table({"id_a": ["a", "a", "c", "e"], "id_b": ["b", "c", "d", "f"]})
    assert recall(pairs, {"a": 1, "b": 1, "c": 2, "d": 3}) == 0.25
    assert recall(pairs.slice(0, 0), {}) == 1.0


def test_a_peer_that_fails_ends_the_run_with_its_words(tmp_path):
    with pytest.raises(SystemExit, match="peer_rensa.py failed"):
        dedup.run_rensa(sys.executable, tmp_path / "none", 1)
