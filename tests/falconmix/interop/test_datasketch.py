import math
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import LeanMinHash, MinHash

from falconmix.interop.datasketch import FamilyLSH, family_seed, to_datasketch, to_lsh
from stages.minhash import Geometry, band_keys, signatures

GEOMETRY = Geometry(bands=20, rows=4, shingle=1)


def texts(n_families: int, copies: int, n_words: int = 60) -> pa.Array:
    """Families of texts that share about three quarters of their words, and a text without words at the end."""
    rng = np.random.default_rng(0)
    made = []
    for family in range(n_families):
        common = [f"f{family}w{i}" for i in range(n_words)]
        for copy in range(copies):
            own = rng.random(n_words) < 0.15
            words = (f"{word}c{copy}" if new else word for word, new in zip(common, own, strict=True))
            made.append(" ".join(words))
    return pa.array([*made, "…"])


def test_datasketch_estimates_what_our_signatures_do():
    text = texts(5, 3)
    places = signatures(text, GEOMETRY)
    minhashes = to_datasketch(places, GEOMETRY)
    for a, b in combinations(range(len(text)), 2):
        assert minhashes[a].jaccard(minhashes[b]) == (places[a] == places[b]).mean()


def test_the_estimate_is_near_the_similarity():
    geometry = Geometry(bands=256, rows=8, shingle=1)
    words = [f"w{i}" for i in range(300)]
    text = pa.array([" ".join(words[:250]), " ".join(words[50:])])
    a, b = to_datasketch(signatures(text, geometry), geometry)
    similarity = 200 / 300
    assert a.jaccard(b) == pytest.approx(similarity, abs=5 * math.sqrt(similarity * (1 - similarity) / 2048))


def test_the_index_finds_the_pairs_that_share_a_band_key():
    text = texts(12, 4)
    places, keys = signatures(text, GEOMETRY), band_keys(text, GEOMETRY)
    lsh = to_lsh(places, GEOMETRY, range(len(text)))
    found = 0
    for row, minhash in enumerate(to_datasketch(places, GEOMETRY)[:-1]):
        ours = np.flatnonzero((keys == keys[row]).any(axis=1)).tolist()
        assert sorted(lsh.query(minhash)) == ours
        found += len(ours) - 1
    assert found > 12
    assert len(text) - 1 not in lsh.keys


def test_ours_survive_datasketchs_serialisation():
    (minhash, _) = to_datasketch(signatures(pa.array(["a b c", "d"]), GEOMETRY), GEOMETRY)
    buffer = bytearray(minhash.bytesize())
    minhash.serialize(buffer)
    read = LeanMinHash.deserialize(buffer)
    assert read == minhash
    assert read.seed == family_seed(GEOMETRY)


def test_objects_of_other_functions_are_refused():
    places = signatures(pa.array(["a b c"]), GEOMETRY)
    (ours,) = to_datasketch(places, GEOMETRY)
    theirs = MinHash(num_perm=80)
    other = Geometry(bands=20, rows=4, shingle=2)
    (wider,) = to_datasketch(signatures(pa.array(["a b c"]), other), other)
    lsh = to_lsh(places, GEOMETRY, ["ours"])
    for foreign in (theirs, wider):
        with pytest.raises(ValueError, match="different seeds"):
            ours.jaccard(foreign)
        with pytest.raises(ValueError, match="hashed by other functions"):
            lsh.query(foreign)
        with pytest.raises(ValueError, match="hashed by other functions"):
            lsh.insert("foreign", foreign)
    with pytest.raises((AttributeError, TypeError)):
        ours.update(b"a word")


def test_one_family_of_functions_has_one_seed():
    assert family_seed(GEOMETRY) == family_seed(Geometry(bands=3, rows=2, shingle=1))
    seeds = {family_seed(Geometry(bands=1, rows=1, shingle=s, seed=t)) for s in (1, 2, 5) for t in (0, 1, 2)}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert FamilyLSH(GEOMETRY).seed == family_seed(GEOMETRY)


def test_signatures_of_another_shape_are_refused():
    places = signatures(pa.array(["a b c"]), GEOMETRY)
    with pytest.raises(ValueError, match="80 places are needed"):
        to_datasketch(places[:, :79], GEOMETRY)
    with pytest.raises(ValueError, match="key already exists"):
        to_lsh(signatures(pa.array(["a", "b"]), GEOMETRY), GEOMETRY, ["same", "same"])
