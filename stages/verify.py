"""From band keys to verified edges: which documents are compared, and how alike they are.

Documents are int64 numbers in the order of `stages.dedup_order`: of two the lower is the earlier. A bucket holds the
documents that share a key of one band. What is compared in a bucket depends on its documents alone, so edges do not
depend on how buckets are spread over partitions. It takes two rounds:

1. every document with the bucket's earliest (`first_pairs`);
2. where one of two documents turned out unlike the earliest, the two with each other (`other_pairs`), at most `cap` for
   a document, its earliest ones first.

Documents that are both like the earliest are in one component already. So where no pair is cut by the cap, the
components are those of all pairs, and a document has an edge to an earlier one if and only if it has one among all
pairs: both cluster rules can be read off the edges.

Negative numbers are documents of an index: they come before all others, and are not compared among themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.minhash import NO_KEY, ShingleSets, jaccard
from stages.runs import run_starts
from stages.segment import Hashes

Docs = NDArray[np.int64]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

_S32 = np.uint64(32)


class Buckets(NamedTuple):
    """Documents that share a band key: bucket i is members[offsets[i]:offsets[i + 1]], two or more, ascending."""

    members: Docs
    offsets: Rows


class Pairs(NamedTuple):
    """Pairs of documents, `earlier[i]` before `later[i]`."""

    earlier: Docs
    later: Docs


@dataclass(frozen=True, kw_only=True)
class VerifyRules:
    """How candidates are verified.

    threshold: least Jaccard similarity of an edge. cap: in each bucket a document is compared with the earliest one and
    at most so many others. bridges: whether a document that is like the earliest is compared with earlier ones that
    are not; it decides nothing but how components hang together.
    """

    threshold: float = 0.75
    cap: int = 64
    bridges: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """Verified pairs, each once, in order. `n_cut` counts the pairs that the cap left out, in every bucket anew,
    although another bucket may have compared them: 0 means that none was missed."""

    earlier: Docs
    later: Docs
    similarity: NDArray[np.float64]
    n_cut: int


def candidate_groups(keys: Hashes, docs: Docs | None = None) -> Buckets:
    """Documents that share a key of one band, uint64[n]; those with `NO_KEY` share nothing.

    docs: numbers of the documents, their places in `keys` by default.
    """
    docs = np.arange(keys.size) if docs is None else docs
    order = np.lexsort((docs, keys))
    ordered = keys[order]
    starts = np.flatnonzero(run_starts(ordered))
    sizes = np.diff(np.append(starts, keys.size))
    shared = (sizes >= 2) & (ordered[starts] != NO_KEY)
    members = docs[order[np.repeat(shared, sizes)]]
    return Buckets(members, np.concatenate([[0], np.cumsum(sizes[shared])]).astype(np.int64))


def first_pairs(buckets: Buckets) -> Pairs:
    """Each document with the earliest of its bucket, each pair once, in order."""
    sizes = np.diff(buckets.offsets)
    earliest = np.repeat(buckets.members[buckets.offsets[:-1]], sizes)
    ours = (earliest != buckets.members) & (buckets.members >= 0)
    return distinct(Pairs(earliest[ours], buckets.members[ours]))


def other_pairs(buckets: Buckets, unlike: Pairs, rules: VerifyRules) -> tuple[Pairs, int]:
    """The second round's pairs, each once, in order, and how many the cap left out.

    unlike: pairs of the first round below the threshold, in order.
    """
    docs, places = np.unique(buckets.members, return_inverse=True)
    keys, n_cut = _other_pairs(buckets, places, unlike, rules.cap, rules.bridges)
    keys.sort()
    keys = keys[run_starts(keys)]
    return Pairs(docs[(keys >> _S32).astype(np.int32)], docs[keys.astype(np.uint32)]), int(n_cut)


def similarities(a: ShingleSets, rows_a: Rows, b: ShingleSets, rows_b: Rows) -> NDArray[np.float64]:
    """Jaccard similarity of set rows_a[i] of `a` with set rows_b[i] of `b`."""
    return np.asarray(_similarities(a, rows_a, b, rows_b), np.float64)


def distinct(pairs: Pairs) -> Pairs:
    """Each pair once, in order."""
    order = np.lexsort((pairs.later, pairs.earlier))
    earlier, later = pairs.earlier[order], pairs.later[order]
    new = run_starts(earlier, later)
    return Pairs(earlier[new], later[new])


def verify(buckets: Sequence[Buckets], order_rank: Rows, sets: ShingleSets, rules: VerifyRules) -> Edges:
    """Both rounds in one process. Buckets hold rows; `order_rank` int64[n] is the place of each row in the order, a
    permutation; `sets` has a set per row. Edges name rows."""
    row_of_rank = np.argsort(order_rank)
    ranked = _concatenated([_rank_ordered(part, order_rank) for part in buckets])

    def compared(pairs: Pairs) -> NDArray[np.float64]:
        return similarities(sets, row_of_rank[pairs.earlier], sets, row_of_rank[pairs.later])

    first = first_pairs(ranked)
    similarity = compared(first)
    unlike = similarity < rules.threshold
    other, n_cut = other_pairs(ranked, Pairs(first.earlier[unlike], first.later[unlike]), rules)
    earlier, later = np.append(first.earlier, other.earlier), np.append(first.later, other.later)
    similarity = np.append(similarity, compared(other))
    hits = np.flatnonzero(similarity >= rules.threshold)
    hits = hits[np.lexsort((later[hits], earlier[hits]))]
    hits = hits[run_starts(earlier[hits], later[hits])]  # a first pair of one bucket may be another pair of a second
    return Edges(
        earlier=row_of_rank[earlier[hits]], later=row_of_rank[later[hits]], similarity=similarity[hits], n_cut=n_cut
    )


def _rank_ordered(buckets: Buckets, order_rank: Rows) -> Buckets:
    """The same buckets with ranks in place of rows, ascending."""
    ranks = order_rank[buckets.members]
    bucket_of = np.repeat(np.arange(buckets.offsets.size - 1), np.diff(buckets.offsets))
    return Buckets(ranks[np.lexsort((ranks, bucket_of))], buckets.offsets)


def _concatenated(buckets: Sequence[Buckets]) -> Buckets:
    ends = np.cumsum([0, *(part.members.size for part in buckets)])
    starts = [part.offsets[:-1] + end for part, end in zip(buckets, ends[:-1], strict=True)]
    return Buckets(
        np.concatenate([np.empty(0, np.int64), *(part.members for part in buckets)]),
        np.concatenate([np.empty(0, np.int64), *starts, ends[-1:]]),
    )


@compiled
def _similarities(a: ShingleSets, rows_a: Rows, b: ShingleSets, rows_b: Rows) -> NDArray[np.float64]:
    found = np.empty(rows_a.size, np.float64)
    for i in range(rows_a.size):
        one, other = rows_a[i], rows_b[i]
        set_a = a.values[a.offsets[one] : a.offsets[one + 1]]
        set_b = b.values[b.offsets[other] : b.offsets[other + 1]]
        found[i] = jaccard(set_a, set_b)
    return found


@compiled
def _other_pairs(buckets: Buckets, places: Rows, unlike: Pairs, cap: int, bridges: bool) -> tuple[Hashes, int]:
    """Pairs as numbers that sort as they do, places[i] being that of members[i] among all: 8 bytes a pair."""
    n_pairs, n_cut = 0, 0
    odd = np.zeros(buckets.members.size, np.bool_)
    for i in range(buckets.offsets.size - 1):
        members = slice(buckets.offsets[i], buckets.offsets[i + 1])
        odd[members] = _unlike_first(buckets.members[members], unlike)
        n_odd = 0  # among those before the document at hand
        for j in range(1, members.stop - members.start):
            needed = _needed(buckets.members[members], odd[members], j, n_odd, bridges)
            n_pairs += min(needed, cap)
            n_cut += max(needed - cap, 0)
            n_odd += odd[members][j]
    keys = np.empty(n_pairs, np.uint64)
    n = 0
    for i in range(buckets.offsets.size - 1):
        members = slice(buckets.offsets[i], buckets.offsets[i + 1])
        bucket, place, strange = buckets.members[members], places[members], odd[members]
        n_odd = 0
        for j in range(1, bucket.size):
            left = min(_needed(bucket, strange, j, n_odd, bridges), cap)
            at = 1
            while left:
                if strange[j] or strange[at]:
                    keys[n] = (np.uint64(place[at]) << _S32) | np.uint64(place[j])
                    n += 1
                    left -= 1
                at += 1
            n_odd += strange[j]
    return keys, n_cut


@compiled
def _needed(bucket: Docs, odd: Mask, j: int, n_odd: int, bridges: bool) -> int:
    """With how many others document j of a bucket is to be compared, `n_odd` of those before it being odd."""
    if bucket[j] < 0 or not (odd[j] or bridges):
        return 0
    return j - 1 if odd[j] else n_odd


@compiled
def _unlike_first(bucket: Docs, unlike: Pairs) -> Mask:
    """For each document of a bucket, whether it was found unlike the earliest."""
    odd = np.zeros(bucket.size, np.bool_)
    at = np.searchsorted(unlike.earlier, bucket[0])
    for j in range(1, bucket.size):  # both ascend
        while at < unlike.earlier.size and unlike.earlier[at] == bucket[0] and unlike.later[at] < bucket[j]:
            at += 1
        odd[j] = at < unlike.earlier.size and unlike.earlier[at] == bucket[0] and unlike.later[at] == bucket[j]
    return odd
