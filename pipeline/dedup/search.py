"""All of deduplication: which pages are copies, and which passages repeat. Its phases in their order.

Each step sees only what the one before it left, and of several copies the first in the order of `stages.dedup_order`
stays. Between phases rows go through partition files; no task holds more than a group of pages or a partition of rows,
but for the one that puts documents with an edge into clusters. No result depends on how pages are grouped or rows
partitioned.
"""

from __future__ import annotations

from collections import Counter

from pipeline.dedup.candidates import FIRST, OTHER, send_first_pairs, send_other_pairs
from pipeline.dedup.clusters import cluster
from pipeline.dedup.copies import drop_copies, drop_repeated_records
from pipeline.dedup.decisions import DECIDED, decide, removed_name, sizes_name, spans_name
from pipeline.dedup.edges import verify_pairs
from pipeline.dedup.exchange import FOLDER
from pipeline.dedup.home import Step
from pipeline.dedup.order import number_documents
from pipeline.dedup.passages import find_passages
from pipeline.dedup.plan import Plan
from pipeline.dedup.tables import CLUSTERS, SPANS_TABLE, write_tables
from pipeline.manifest import Manifest
from pipeline.phase import Phases, Record, Report

PHASE = "dedup"
URL, TEXT = ("url_dedup", "url_key"), ("exact_dedup", "text_key")


def deduplicate(plan: Plan, phases: Phases) -> Record:
    """Decide over all pages that the recipe keeps; write the decisions and the evidence, then the manifest record.

    What tasks handed each other is deleted at the end.
    """
    manifest = Manifest(plan.store, PHASE)
    if not (record := manifest.done("all", phases.key)):
        report = _search(plan, phases) | {"cpu_s": dict(phases.cpu_s)}
        decided = [name(group) for name in (removed_name, sizes_name, spans_name) for group in plan.group_numbers]
        record = manifest.finish("all", phases.key, [CLUSTERS, SPANS_TABLE, *decided], report)
    for folder in plan.store.path(FOLDER).iterdir():
        if folder.name != DECIDED:
            plan.store.remove(f"{FOLDER}/{folder.name}")
    return record


def _search(plan: Plan, phases: Phases) -> Report:
    rules = plan.recipe.dedup
    text_bytes = number_documents(plan, phases)
    steps: list[Step] = [drop_repeated_records(plan, phases)]
    if rules.url == "reached":
        steps.append(drop_copies(plan, phases, *URL, steps))
    if rules.exact:
        steps.append(drop_copies(plan, phases, *TEXT, steps))
    recurring = send_first_pairs(plan, phases, steps)
    verify_pairs(plan, phases, FIRST)
    n_cut = send_other_pairs(plan, phases)
    verify_pairs(plan, phases, OTHER)
    found, n_edges = cluster(plan, phases)
    steps.append(found)
    if rules.url == "kept":
        steps.append(drop_copies(plan, phases, *URL, steps))
    if plan.recipe.substrings:
        steps.append(find_passages(plan, phases, steps, text_bytes))
    write_tables(plan, phases, with_spans=plan.recipe.substrings is not None)
    return _report(decide(plan, phases, steps)) | {"edges": n_edges, "cut": n_cut, "recurring_bands": recurring}


def _report(groups: list[Report]) -> Report:
    stages, text_bytes = Counter[str](), Counter[str]()
    for report in groups:
        stages.update(report["stages"])
        text_bytes.update(report["text_bytes"])
    totals = {name: sum(report[name] for report in groups) for name in ("spans", "orphaned")}
    return {"stages": dict(stages), "text_bytes": dict(text_bytes), **totals}
