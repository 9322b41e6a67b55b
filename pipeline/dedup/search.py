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
from pipeline.dedup.highlights import TOP_CLUSTERS, TOP_PASSAGES, find_highlights
from pipeline.dedup.home import Step
from pipeline.dedup.order import number_documents
from pipeline.dedup.passages import find_passages
from pipeline.dedup.plan import Plan
from pipeline.dedup.segment import part_name, write_segment
from pipeline.dedup.tables import BRIDGED_TABLE, CLUSTERS, SPANS_TABLE, write_tables
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
        parts = [removed_name, sizes_name, spans_name, *([] if plan.past is None else [part_name])]
        files = [CLUSTERS, SPANS_TABLE, TOP_CLUSTERS, TOP_PASSAGES, *([] if plan.past is None else [BRIDGED_TABLE])]
        files += [name(group) for name in parts for group in plan.group_numbers]
        record = manifest.finish("all", phases.key, files, report)
    for folder in plan.store.path(FOLDER).iterdir():
        if folder.name != DECIDED:
            plan.store.remove(f"{FOLDER}/{folder.name}")
    return record


def _search(plan: Plan, phases: Phases) -> Report:
    rules = plan.recipe.dedup
    text_bytes = number_documents(plan, phases)
    steps: list[Step] = [drop_repeated_records(plan, phases)]
    before = [list(steps)]
    if rules.url == "reached":
        steps.append(drop_copies(plan, phases, *URL, steps))
    before.append(list(steps))
    if rules.exact:
        steps.append(drop_copies(plan, phases, *TEXT, steps))
    before.append(list(steps))
    recurring = send_first_pairs(plan, phases, steps)
    n_found = verify_pairs(plan, phases, FIRST)
    n_cut = send_other_pairs(plan, phases)
    n_found += verify_pairs(plan, phases, OTHER)
    found, n_edges = cluster(plan, phases, n_found)
    steps.append(found)
    before.append(list(steps))
    if plan.past is not None:
        write_segment(plan, phases, before)
    if rules.url == "kept":
        steps.append(drop_copies(plan, phases, *URL, steps))
    if plan.recipe.substrings:
        steps.append(find_passages(plan, phases, steps, text_bytes))
    write_tables(plan, phases, steps)
    shown = find_highlights(plan, phases, steps)
    counts = {"edges": n_edges, "cut": n_cut, "recurring_bands": recurring}
    return _report(decide(plan, phases, steps)) | counts | {"highlights": shown}


def _report(groups: list[Report]) -> Report:
    stages, text_bytes = Counter[str](), Counter[str]()
    for report in groups:
        stages.update(report["stages"])
        text_bytes.update(report["text_bytes"])
    totals = {name: sum(report[name] for report in groups) for name in ("spans", "orphaned", "bridged")}
    return {"stages": dict(stages), "text_bytes": dict(text_bytes), **totals}
