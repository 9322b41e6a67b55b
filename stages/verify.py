"""Candidate buckets from band keys, and the edges in them that hold on the exact shingle sets.

Buckets are verified one by one, and what a bucket yields depends on its documents alone, so edges do not depend on the
order of rows, of buckets or of bands, nor on how buckets are spread over partitions.

In a bucket the documents come in the order of `order_rank`. Each is compared with the earliest, then with other
earlier documents, until it has met every group of documents that the bucket's edges have linked so far: one edge into
a group makes its other members superfluous. Where no pair is cut by the cap, therefore, the components are those of
all pairs, and a document has an edge to an earlier one if and only if it has one among all pairs; so both cluster
rules (components, earlier neighbour) can be read off the edges. Stopping at a document's first edge would be cheaper
and wrong: with A like C, B like C and A unlike B, the cluster would lose B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.minhash import NO_KEY, ShingleSets, jaccard
from stages.segment import Hashes, mix64

Rows = NDArray[np.int64]

_MIN_SLOTS = 1024


class Buckets(NamedTuple):
    """Row numbers that share a band key: bucket i is members[offsets[i]:offsets[i + 1]], two rows or more."""

    members: Rows
    offsets: Rows


@dataclass(frozen=True, kw_only=True)
class VerifyRules:
    """How candidates are verified.

    `threshold` is the least Jaccard similarity of an edge. In each bucket a document is compared with the earliest
    one and at most `cap` others.
    """

    threshold: float = 0.75
    cap: int = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """Verified pairs, each once: row `earlier[i]` comes before row `later[i]`; sorted by their places in the order.

    `n_cut` counts the pairs that the cap left out, in every bucket anew, although another bucket may have compared
    them: 0 means that none was missed.
    """

    earlier: Rows
    later: Rows
    similarity: NDArray[np.float64]
    n_cut: int


class _Corpus(NamedTuple):
    """The row at each rank, and the shingle set of each row."""

    row_of_rank: Rows
    values: Hashes
    offsets: Rows


class _Pairs(NamedTuple):
    """Similarities by pair, open-addressed: key earlier rank · n + later rank, 0 where empty (no pair has it)."""

    keys: Hashes
    similarities: NDArray[np.float64]


class _Groups(NamedTuple):
    """Linked lists of bucket positions, one list per group; `size` 0 marks a group merged into another."""

    head: Rows
    tail: Rows
    size: Rows
    next: Rows


def candidate_groups(keys: Hashes) -> Buckets:
    """Rows that share a key of one band, uint64[n]; rows with `NO_KEY` share nothing. Rows ascend within a bucket."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if keys.size else np.empty(0, int)
    sizes = np.diff(np.append(starts, keys.size))
    shared = (sizes >= 2) & (ordered[starts] != NO_KEY)
    members = order[np.repeat(shared, sizes)]
    return Buckets(members, np.concatenate([[0], np.cumsum(sizes[shared])]).astype(np.int64))


def verify(buckets: Sequence[Buckets], order_rank: Rows, sets: ShingleSets, rules: VerifyRules) -> Edges:
    """Compare candidates on their exact shingle sets; a pair is computed once however many buckets hold it.

    `order_rank` int64[n] is the place of each row in the dedup order, a permutation; `sets` has a set per row.
    """
    row_of_rank = np.argsort(order_rank)
    corpus = _Corpus(row_of_rank, sets.values, sets.offsets)
    ranked = _concatenated([_rank_ordered(part, order_rank) for part in buckets])
    pairs, n_cut = _verify(ranked, corpus, float(rules.threshold), rules.cap)
    hits = np.flatnonzero((pairs.keys != 0) & (pairs.similarities >= rules.threshold))
    hits = hits[np.argsort(pairs.keys[hits])]
    earlier, later = np.divmod(pairs.keys[hits].astype(np.int64), max(order_rank.size, 1))
    return Edges(
        earlier=row_of_rank[earlier], later=row_of_rank[later], similarity=pairs.similarities[hits], n_cut=int(n_cut)
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
def _verify(buckets: Buckets, corpus: _Corpus, threshold: float, cap: int) -> tuple[_Pairs, int]:
    pairs = _Pairs(np.zeros(_MIN_SLOTS, np.uint64), np.zeros(_MIN_SLOTS))
    n_pairs, n_cut = 0, 0
    for i in range(buckets.offsets.size - 1):
        bucket = buckets.members[buckets.offsets[i] : buckets.offsets[i + 1]]
        groups = _first_group(bucket.size)
        n_groups = 1
        for j in range(1, bucket.size):
            budget = min(j, cap + 1)
            while 2 * (n_pairs + budget) > pairs.keys.size:
                pairs = _grown(pairs)
            joins, new_pairs, cut = _compare(bucket[: j + 1], groups, n_groups, budget, pairs, corpus, threshold)
            n_pairs += new_pairs
            n_cut += cut
            n_groups = _join(groups, n_groups, joins, j)
    return pairs, n_cut


@compiled
def _compare(
    bucket: Rows, groups: _Groups, n_groups: int, budget: int, pairs: _Pairs, corpus: _Corpus, threshold: float
) -> tuple[Rows, int, int]:
    """Compare the bucket's last document with those before it: (groups that it joins, new pairs, pairs cut)."""
    j = bucket.size - 1
    joins = np.empty(min(budget, n_groups), np.int64)
    n_joins, n_new, n_met = 0, 0, 0
    for g in range(n_groups):
        position, walked, hit = groups.head[g], 0, False
        while walked < groups.size[g] and budget > 0 and not hit:
            similarity, new = _similarity(bucket[position], bucket[j], pairs, corpus)
            hit = similarity >= threshold
            n_new += new
            budget -= 1
            walked += 1
            position = groups.next[position]
        if hit:
            joins[n_joins] = g
            n_joins += 1
        n_met += groups.size[g] if hit else walked
        if budget == 0:
            break
    return joins[:n_joins], n_new, j - n_met


@compiled
def _join(groups: _Groups, n_groups: int, joins: Rows, j: int) -> int:
    """Put position j into the first group of `joins`, merge the others into it; return the number of groups."""
    if joins.size == 0:
        groups.head[n_groups] = j
        groups.tail[n_groups] = j
        groups.size[n_groups] = 1
        return n_groups + 1
    target = joins[0]
    for g in joins[1:]:
        groups.next[groups.tail[target]] = groups.head[g]
        groups.tail[target] = groups.tail[g]
        groups.size[target] += groups.size[g]
        groups.size[g] = 0
    groups.next[groups.tail[target]] = j
    groups.tail[target] = j
    groups.size[target] += 1
    return n_groups


@compiled
def _first_group(n: int) -> _Groups:
    """Room for n groups over n positions; the first holds position 0 alone."""
    groups = _Groups(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64))
    groups.size[0] = 1
    return groups


@compiled
def _similarity(earlier: int, later: int, pairs: _Pairs, corpus: _Corpus) -> tuple[float, int]:
    """Jaccard similarity of two ranks, and 1 where it had not been computed before."""
    key = np.uint64(earlier * corpus.row_of_rank.size + later)
    slot = _pair_slot(pairs.keys, key)
    if pairs.keys[slot] == key:
        return pairs.similarities[slot], 0
    a, b = corpus.row_of_rank[earlier], corpus.row_of_rank[later]
    set_a = corpus.values[corpus.offsets[a] : corpus.offsets[a + 1]]
    set_b = corpus.values[corpus.offsets[b] : corpus.offsets[b + 1]]
    pairs.keys[slot] = key
    pairs.similarities[slot] = jaccard(set_a, set_b)
    return pairs.similarities[slot], 1


@compiled
def _pair_slot(keys: Hashes, key: np.uint64) -> np.int64:
    mask = keys.size - 1
    slot = np.int64(mix64(key) & np.uint64(mask))
    while keys[slot] != 0 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _grown(pairs: _Pairs) -> _Pairs:
    """The same pairs in twice the slots."""
    larger = _Pairs(np.zeros(2 * pairs.keys.size, np.uint64), np.zeros(2 * pairs.keys.size))
    for i in range(pairs.keys.size):
        if pairs.keys[i] != 0:
            slot = _pair_slot(larger.keys, pairs.keys[i])
            larger.keys[slot] = pairs.keys[i]
            larger.similarities[slot] = pairs.similarities[i]
    return larger
