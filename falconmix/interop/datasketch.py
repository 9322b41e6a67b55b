"""Our MinHash signatures as datasketch's objects, for ad-hoc work in a notebook.

    from falconmix.interop.datasketch import to_datasketch, to_lsh
    from stages.minhash import PRESETS, signatures

    geometry = PRESETS["refinedweb"]
    places = signatures(texts, geometry)
    a, b, *_ = to_datasketch(places, geometry)
    a.jaccard(b)
    lsh = to_lsh(places, geometry, keys)
    lsh.query(a)

datasketch hashes with functions of its own, so the objects made here can be compared with each other alone: they bear a
seed of their own for each family of functions (seed of the geometry and width of its shingles), by which datasketch
refuses to compare others with them, and they are of the kind that cannot be updated. `FamilyLSH` refuses them where
datasketch's index would not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

from datasketch import LeanMinHash, MinHash, MinHashLSH

from stages.minhash import Geometry, Signatures

_SCHEME = "affine32"  # datasketch's name for a·x + b mod 2³², a odd; ours are such functions, of other a, b and x
_NO_WORDS = 2**32 - 1


class FamilyLSH(MinHashLSH):  # type: ignore[misc]  # datasketch is untyped
    """datasketch's index for the bands of a geometry; what was hashed by other functions raises ValueError."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(num_perm=geometry.bands * geometry.rows, params=(geometry.bands, geometry.rows))
        self.seed = family_seed(geometry)

    def insert(self, key: Hashable, minhash: MinHash, check_duplication: bool = True) -> None:
        """Add a document under its key."""
        self._check(minhash)
        super().insert(key, minhash, check_duplication)

    def query(self, minhash: MinHash) -> list[Hashable]:
        """Keys of the documents that share a band with this one."""
        self._check(minhash)
        keys: list[Hashable] = super().query(minhash)
        return keys

    def _check(self, minhash: MinHash) -> None:
        if minhash.seed != self.seed:
            raise ValueError("this MinHash was hashed by other functions; make it by to_datasketch, of equal geometry")


def to_datasketch(signatures: Signatures, geometry: Geometry) -> list[LeanMinHash]:
    """One `LeanMinHash` for each signature, uint32[n, bands · rows]; it estimates the similarity that ours does.

    Two texts without words are equal to each other there, where `stages.minhash` has nothing be like them.
    Raises ValueError where the signatures are not of this geometry.
    """
    n_places = geometry.bands * geometry.rows
    if signatures.ndim != 2 or signatures.shape[1] != n_places:
        raise ValueError(f"signatures of {n_places} places are needed, not an array of the shape {signatures.shape}")
    seed = family_seed(geometry)
    return [LeanMinHash(seed=seed, hashvalues=places, scheme=_SCHEME) for places in signatures]


def to_lsh(signatures: Signatures, geometry: Geometry, keys: Sequence[Hashable]) -> FamilyLSH:
    """An index of the documents under these keys, in which two share a bucket where they share a band key of ours.

    Texts without words are left out. Raises ValueError for a key that comes twice.
    """
    lsh = FamilyLSH(geometry)
    for key, minhash in zip(keys, to_datasketch(signatures, geometry), strict=True):
        if (minhash.hashvalues != _NO_WORDS).any():
            lsh.insert(key, minhash)
    return lsh


def family_seed(geometry: Geometry) -> int:
    """Seed that marks our hash functions in datasketch: of geometries whose signatures can be compared, one."""
    name = f"falconmix minhash, shingles of {geometry.shingle}, seed {geometry.seed}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1
