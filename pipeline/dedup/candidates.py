"""Candidates for near-duplicates: pages of one language that share a band key, in two rounds of pairs.

What the rounds are for is said in `stages.verify`. Pairs go to the group of the earlier document, with the partition
that asked for them, so that it hears which of them failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dedup.exchange import by_hash
from pipeline.dedup.home import Home, Step
from pipeline.dedup.past import PastHome
from pipeline.dedup.plan import Plan
from pipeline.dedup.recurring import Recurring, mark_recurring
from pipeline.groups import Docs, group_of
from pipeline.phase import Phases, Report
from stages.minhash import NO_KEY
from stages.segment import Hashes
from stages.verify import Buckets, Pairs, VerifyRules, candidate_groups, distinct, first_pairs, other_pairs

FIRST, OTHER = "first_pairs", "other_pairs"
UNLIKE = "unlike"
"""Exchange of pairs of the first round below the threshold, for the partitions that asked for them."""
_NAME = "bands"
_BUCKETS = "buckets"


def band_partitions(plan: Plan) -> range:
    """The partitions of band keys."""
    return plan.partitions(plan.n_pages * plan.recipe.minhash.geometry.bands)


def verify_rules(plan: Plan) -> VerifyRules:
    """The rules of the second round."""
    rules = plan.recipe.minhash
    return VerifyRules(threshold=rules.threshold, cap=rules.cap, bridges=rules.cluster_rule == "components")


def send_first_pairs(plan: Plan, phases: Phases, earlier: Sequence[Step]) -> int:
    """The first round: the exchange `FIRST`. Returns the number of band keys that recur."""
    parts = band_partitions(plan)
    mark_recurring(plan, phases, _NAME, partial(_all_keys, plan=plan, earlier=earlier), plan.homes, parts)
    sent = phases.run(_NAME, partial(_send_bands, plan=plan, earlier=earlier, parts=parts), plan.homes)
    phases.run(FIRST, partial(_pair_first, plan=plan), parts)
    return sum(report["rows"] for report in sent)


def send_other_pairs(plan: Plan, phases: Phases) -> int:
    """The second round: the exchange `OTHER`. Returns the number of pairs that the cap left out."""
    reports = phases.run(OTHER, partial(_pair_others, plan=plan), band_partitions(plan))
    return sum(report["cut"] for report in reports)


def _bands(number: int, plan: Plan, earlier: Sequence[Step]) -> Iterator[tuple[Docs, Hashes]]:
    """(documents, keys) of each band, without the documents that have no words."""
    if number in plan.group_numbers:
        home = Home(plan, number)
        rows = home.living(earlier)
        docs, keys = home.docs[rows], home.band_keys(rows)
    else:
        docs, keys = PastHome(plan, number).bands()
    for band in keys.T:
        has_words = band != NO_KEY
        yield docs[has_words], band[has_words]


def _all_keys(number: int, *, plan: Plan, earlier: Sequence[Step]) -> Iterator[Hashes]:
    for _, keys in _bands(number, plan, earlier):
        yield keys


def _send_bands(number: int, *, plan: Plan, earlier: Sequence[Step], parts: range) -> tuple[list[str], Report]:
    recurring = Recurring(plan, _NAME, number, parts)
    found_keys, found_docs = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for docs, keys in _bands(number, plan, earlier):
        mine = recurring.of(keys)
        found_keys.append(keys[mine])
        found_docs.append(docs[mine])
    keys = np.concatenate(found_keys)
    rows = pa.table({"key": keys, "doc": np.concatenate(found_docs)})
    return [plan.exchange(_NAME).write(number, rows, by_hash(keys, len(parts)), len(parts))], {"rows": rows.num_rows}


def _pair_first(part: int, *, plan: Plan) -> tuple[list[str], Report]:
    rows = plan.exchange(_NAME).read(plan.homes, part)
    buckets = candidate_groups(rows["key"].to_numpy(), rows["doc"].to_numpy())
    file = plan.exchange(_BUCKETS).write(part, _bucket_table(buckets))
    return [file, _send_pairs(plan, FIRST, part, first_pairs(buckets))], {"buckets": buckets.offsets.size - 1}


def _pair_others(part: int, *, plan: Plan) -> tuple[list[str], Report]:
    table = plan.exchange(_BUCKETS).read([part])
    members, first = table["doc"].to_numpy(), table["first"].to_numpy()
    buckets = Buckets(members, np.append(np.flatnonzero(first), members.size))
    told = plan.exchange(UNLIKE).read(plan.group_numbers, part)
    unlike = distinct(Pairs(told["earlier"].to_numpy(), told["later"].to_numpy()))
    pairs, n_cut = other_pairs(buckets, unlike, verify_rules(plan))
    return [_send_pairs(plan, OTHER, part, pairs)], {"cut": n_cut}


def _send_pairs(plan: Plan, name: str, part: int, pairs: Pairs) -> str:
    rows = pa.table({"earlier": pairs.earlier, "later": pairs.later, "part": np.full(pairs.later.size, part, np.int32)})
    return plan.exchange(name).write(part, rows, group_of(pairs.earlier), len(plan.homes))


def _bucket_table(buckets: Buckets) -> pa.Table:
    """The members of all buckets, and whether each is the first of one."""
    first = np.zeros(buckets.members.size, np.bool_)
    first[buckets.offsets[:-1]] = True
    return pa.table({"doc": buckets.members, "first": pa.array(first)})
